"""Gold programs of ``gsm_symbolic`` templates 50 to 99; placeholders as in ``gold_programs_00_49``."""

PROGRAMS_50_99: dict[int, str] = {
    50: """
first_puzzle = {puzzle1_pieces} / 2
return first_puzzle + {puzzle2_pieces}
""",
    51: """
ride_cost = {cost2} * {times}
person_cost = {cost1} + {tokens} + ride_cost
people = {budget} / person_cost
return people - 1
""",
    53: """
greater = ({sides} - {target}) / {sides}
even = {sides} / 2 / {sides}
return (greater - even * even) * 100
""",
    54: """
time_left = {total_time} - {library_time}
return time_left - {station_time}
""",
    55: """
first_insects = {n} / {frac}
return {n} + first_insects
""",
    56: """
first_two = {n1} + {n2}
return {total} - first_two
""",
    57: """
second_sport = {tennis_players} * 2
third_sport = {soccer_boys} + {soccer_girls}
return {tennis_players} + second_sport + third_sport
""",
    58: """
volume = {volume} * {num_containers}
return volume * {calories}
""",
    59: """
intervals = {total_distance} / {distance_per_interval}
return intervals * {time_per_interval}
""",
    60: """
beach_pace = {beach_time} / {beach_distance}
sidewalk_time = {sidewalk_distance} * beach_pace // 2
return {beach_time} + sidewalk_time
""",
    62: """
second_person = {slices_per_day} * {multiplier}
daily = {slices_per_day} + second_person
return {num_slices} / daily
""",
    64: """
first = {eggs_per_day_first} * {days_first}
second = {eggs_per_day_second} * {days_second}
return (first + second) / 12
""",
    67: """
third_day = {day1_amount} * {multiplier}
return {day1_amount} + {day2_amount} + third_day
""",
    68: """
infected = {initial_infected}
for day in range({days}):
    infected = infected + infected * {infection_rate}
return infected
""",
    69: """
written = {total_pages} * {fraction}
return {total_pages} - written
""",
    70: """
kept = {initial_count} - {q[1]}
found = kept + {found_count}
return found - {fake_count}
""",
    71: """
first_cost = {n1} * {p1}
second_cost = {n2} * {p2}
third_cost = {n3} * {p3}
return first_cost + second_cost + third_cost
""",
    72: """
second_bricks = {n1} * {mult}
return {total} - {n1} - second_bricks
""",
    73: """
boxes = {gingerbread_day1} + {gingerbread_day1} + {gingerbread_increase}
pies = {apple_pie_day2} + {apple_pie_day2} - {apple_pie_difference}
return boxes * {gingerbread_price} + pies * {apple_pie_price}
""",
    75: """
first_paint = {n1} // 2
second_paint = {n2} * 3
return first_paint + second_paint
""",
    78: """
older = {age1} + {age_diff}
ages = [{age1}, older]
return sum(ages) / len(ages)
""",
    80: """
first_color = {light_color1_spools} + {dark_color1_spools}
second_color = {light_color2_spools} + {dark_color2_spools}
total = first_color + second_color
return first_color * 100 / total
""",
    81: """
days = {days_per_week} * {weeks_per_month}
monthly_pay = days * {pay_per_day}
return monthly_pay * 12
""",
    82: """
ignored = {num_emails} * {no_response_percent} / 100
answered = {num_emails} - ignored
return answered * {workdays}
""",
    84: """
warm_time = {time_cold} * {q[2]} + {extra_time}
difference = warm_time - {time_cold}
return difference * {distance}
""",
    88: """
taken = {graduate_seats} + {faculty_seats}
seats_left = {total_seats} - taken
return seats_left / {graduate_seats}
""",
    89: """
eggs = {num_dozen} * 12
second = {found_first} * {q[2]}
third = second - {less_amount}
fourth = third * {fraction}
return eggs - {found_first} - second - third - fourth
""",
    91: """
fruits = {field_size} * {density}
harvests = 12 / {months_per_harvest}
return fruits * harvests
""",
    92: """
first = round({original_prices[0]}) * {quantities[0]}
second = round({original_prices[1]}) * {quantities[1]}
third = round({original_prices[2]}) * {quantities[2]}
return first + second + third
""",
    93: """
second = {initial_kills} * {fraction1}
third = second * {multiplier}
return third * {fraction2}
""",
    94: """
value = {num_shares} * {price_per_share}
increased = value + value * {increase_pct} / 100
return increased - increased * {decrease_pct} / 100
""",
    95: """
daily = {daily_servings1} + {daily_servings2} + {daily_servings3}
return daily * {time_period}
""",
    96: """
second_amount = {n1} * 2 - {n2}
first_total = {n1} * {k1}
second_total = second_amount * {k2}
return first_total + second_total
""",
}
