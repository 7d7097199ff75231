"""MCC-KD (arXiv 2310.14747): diverse rationales, consistent answers.

recipe       which rationales become examples, and in which pairs (`sampling/diversity.py` chooses the least alike)
config       its settings; alpha and the temperature of the answer distributions among them
consistency  a measurement of trained students: how alike their answers are

The loss is the trainer's: `training/losses/consistency.py`.
"""
