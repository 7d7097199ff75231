"""Mixed Distillation (arXiv 2312.10730): programs and rationales of the same questions, and one vote over both.

recipe  what is asked, learned and answered in the two formats
config  its settings
"""
