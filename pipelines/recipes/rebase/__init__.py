"""ReBase (arXiv 2407.05463): rows of other data sets, retrieved and rewritten for a task.

synthesis       the method, from rows to examples
retrieved_rows  the rows: looked up, stored, passed by the guards
prompters       the two sampling jobs with the teacher: rewriting rows, answering its own questions
prompts         the wording of both
rewriting       candidates checked and chosen; checker: a task's own function that answers its questions
recipe, config  what the student is asked and learns; the settings
"""
