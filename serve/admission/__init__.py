"""Who may ask the service, how much, and until when.

keys     API keys of a file or the environment, as digests; windows what a key has used in the last minute
counter  the one actor that has read the keys and counts, whatever the number of ingress replicas
gate     what each ingress replica asks of it: who is it, is there room, until when
asks     how much a request may use at most
"""
