"""The datastore: rows of many datasets, flattened, encoded, and stored for `actors.retrieval.retriever`.

sources (YAML) --read_rows--> rows --flatten--> {column: text} --encode--> (row, column) records --> RowIndex

settings    what to read, how much of it, with which encoder
reading     rows of a file or hub dataset; what cannot be read is counted, never fatal
flattening  nested fields, label names, long values
build       which sources are new; can be killed at any moment
staging     the Ray Data job of a build
retrieval   the pool of retrievers, and lookups whose results are kept
"""
