"""Notice: what a portal sends to people and programs elsewhere, by mail or as an HTTP request."""
