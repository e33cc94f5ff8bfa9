"""Activities: background work on one document, enqueued by a transaction, run by a Worker."""
