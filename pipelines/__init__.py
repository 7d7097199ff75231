"""What to do with the actors: records, configuration, tasks, recipes, training, evaluation, command line.

questions -> generate -> completions -> execute -> verdicts -> select -> examples -> train -> student
(tasks)      (synthesis, engine pool)   (executor pool)        (recipe)              (train)   |
                                                                 report <- evaluate <----------+
"""
