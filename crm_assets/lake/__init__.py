"""Where tables and reports live: a folder or S3, one file per asset and month, each with a manifest."""
