"""OpenAI's routes: `requests` that are taken, how they are asked of the engines (`relay`), and `answers`.

`grammar` says how large a schema may be that answers are kept to.
"""
