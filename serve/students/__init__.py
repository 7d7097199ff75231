"""Several students in one service: whose engine is whose, what they are called, and who comes and goes.

naming    the students that a start names, each under a name of its own; `student` is always the first
sharing   which of them share an engine: adapters of one base; what memory engines will want
catalog   those that are served now, in an ingress replica, by name
table     the one place where they change: a Serve deployment that every ingress replica reads
trial     what a student has to do before it is served
admin     the routes by which an administrator changes them; schemas, what /openapi.json says of each
"""
