"""Pure functions on bytes and numpy arrays: what the kinds of work compute.

Nothing here knows of a database or a document.  scipy and Pillow are imported where they are used, so that a
portal starts without them.
"""
