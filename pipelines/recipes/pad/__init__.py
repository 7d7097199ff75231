"""PaD (arXiv 2305.13888): programs that were run, and repairs of those that failed.

recipe       the method: what the teacher is asked, which programs become examples, what is trained
config       its settings, those of the baselines among them
repair       the second task: prompts of repairs, examples made of broken programs
faults       how verified programs are broken
self_refine  a run's second task: faults and own failures, as sampling jobs
repairing    repairs at inference: programs that failed to run go back to the student
"""
