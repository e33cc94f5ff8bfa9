"""One rule for what arrives a file."""

if __name__ != "haywain.ingestion_policies":
    raise ImportError(
        f"Import haywain.ingestion_policies, not {__name__}: a second name would make every class exist twice"
        " and write a wrong module path into the database."
    )
