"""LLM2LLM (arXiv 2403.15042): the student's failures on seed questions make the teacher write questions like them.

recipe    the method: the seeds, then rounds that each train the student anew
config    its settings
rounds    one round: attempts, new questions, their answers, as training examples
writing   what is asked for a new question, and which of them may be learned
voting    the answer of a new question: what programs that were run agree on
telling   what is told of rounds
"""
