"""One kind of document a file."""

if __name__ != "haywain.portal_types":
    raise ImportError(
        f"Import haywain.portal_types, not {__name__}: a second name would make every class exist twice"
        " and write a wrong module path into the database."
    )
