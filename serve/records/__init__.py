"""What becomes of each request: a record that is filled on its way, for the log and for Prometheus.

record    the record, and where whoever serves a request finds it
watch     the middleware that begins and ends records
log       a JSON line for each; metrics, their sums for Prometheus
"""
