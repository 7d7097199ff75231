"""The task families, one file each; `svamp.py` is the shortest to start a new one from.

    load(Questions, the configuration) -> LoadedQuestions(task, questions, duplicates)

`task` grades answers (`tasks/base.py`): `AnswerTask` where they are numbers, options or texts, a class with
`name`, `grader` and `grade` where the family has a rule of its own; that is listed in `cli/grade.py`, too. A question's
`meta` holds `row`, and `choices` and `rationale` where there are some. `FAMILIES` in `pipelines/tasks/__init__.py`
names the families.
"""
