"""Bytes and objects on disk: the object database, streams, uploads."""
