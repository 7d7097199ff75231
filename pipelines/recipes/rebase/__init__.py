"""ReBase (arXiv 2407.05463): rows of other data sets, retrieved and rewritten for a task.

recipe          the method, from rows to examples, and what the student is asked and learns
config          its settings
retrieved_rows  the rows: looked up, stored, passed by the guards
asking          the two sampling jobs with the teacher: rewriting rows, answering its own questions
prompts         the wording of both
rewriting       candidates checked, chosen and balanced; checker: a task's own function that answers its questions
account         what is told of rows and candidates
"""
