"""The published methods, one folder each; what every recipe is (`base`), and the table of them (`registry`)."""
