"""MCC-KD (arXiv 2310.14747): diverse rationales, consistent answers.

recipe       the method: which rationales become examples, in pairs
diversity    which rationales of a question are the least alike
config       its settings; alpha and the temperature of the answer distributions among them
consistency  a measurement of trained students: how alike their answers are; command: `raydistill consistency`

The loss is the trainer's: `training/losses/consistency.py`.
"""
