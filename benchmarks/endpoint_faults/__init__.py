"""A teacher behind a URL, met by faults: what is lost, doubled, paid and booked."""
