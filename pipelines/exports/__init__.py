"""What people take away from a run: data sets in the forms of other tools, models, and the cards that go with them."""
