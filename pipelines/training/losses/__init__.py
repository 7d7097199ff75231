"""What training minimises: a sum of terms, of which each row's data says whether it takes part.

base           the interface of a term, and the means of a step by term
forward        one forward pass for all terms, with one gradient of the logits
cross_entropy  of the tokens that an example weights; every row has it
consistency    between two rows that state the same answer
policy         of sampled tokens, by their advantages
soft_targets   a teacher's distribution at each token
table          which terms there are: a new one is a file here and its line there
"""
