"""A first configuration for a file of questions: `raydistill init`.

file --survey--> Survey(columns, kinds of gold, lengths) --draft--> YAML with comments, which loads as it stands
"""
