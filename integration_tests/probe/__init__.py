"""Asks a real account, read only, what Close does not document and the connector's choices rest on."""
