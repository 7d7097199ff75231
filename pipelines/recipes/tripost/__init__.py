"""TriPosT (arXiv 2310.13522): a student's own attempts, corrected step by step, replayed.

recipe        the method: gold rationales first, then iterations of attempts, edits and replay
config        its settings
iteration     one iteration: attempts, edited until they end right, as training examples
updating      a student that attempts, judges and updates: in training, evaluation and service
conversation  the form of attempts, feedback and updates in one assistant turn, and where it ends
critics       who judges and improves: scripts, the teacher, or both
editing       how a conversation is edited until it ends right, or rejected
replay        what is learned of it, with which weights, in which proportions
account       accuracy before and after self-updates, and how conversations ended
"""
