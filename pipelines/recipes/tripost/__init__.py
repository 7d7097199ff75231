"""TriPosT (arXiv 2310.13522): a student's own attempts, corrected step by step, replayed."""
