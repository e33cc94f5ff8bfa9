"""What sends to a Portal: sources of data, and the sender that delivers them."""
