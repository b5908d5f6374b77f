"""How to talk to Close: authentication, rate limits, responses and errors."""
