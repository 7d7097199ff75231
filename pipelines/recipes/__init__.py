"""The four published methods, one folder each, and the table of them (`registry`)."""
