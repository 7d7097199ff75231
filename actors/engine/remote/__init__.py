"""Models behind a URL: any server that answers like OpenAI's, as a member of a pool of engines.

engine.py       requests in, completions out: what an `Engine` is for weights at hand
sending.py      one request until it is answered: turns, retries, time limits, what it cost
dialect.py      what of a request this server takes, as its refusals show
replies.py      what came back: choices, reasoning kept apart, the server's own count of tokens
limit.py        how many requests are under way
estimates.py    what was paid for and never counted
settings.py     what an endpoint is reached with, and the client for it
"""
