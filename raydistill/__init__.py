"""The one import name of the distribution: `raydistill.actors`, `raydistill.pipelines`, `raydistill.serve`.

These three are links to the folders at the repository's top; a wheel holds the folders themselves.
"""
