"""On-policy distillation: the student writes, programs are run, and the teacher scores each token of it.

recipe       the method: a cold start, then rounds
config       its settings
rounds       one round: samples, verdicts, scores, as training examples
advantages   of each token: teacher, verdict, fault
fault_lines  where a program failed, among its tokens
privileged   a student as its own teacher
telling      what is told of rounds
"""
