"""One kind of background work a file."""

if __name__ != "haywain.activities":
    raise ImportError(
        f"Import haywain.activities, not {__name__}: a second name would make every class exist twice"
        " and write a wrong module path into the database."
    )
