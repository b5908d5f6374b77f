"""What the tests, checks and soak share: how to run the connector, and what its output should be."""
