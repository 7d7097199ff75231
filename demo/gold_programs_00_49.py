"""Gold programs of ``gsm_symbolic`` templates 0 to 49, written by hand.

``{name}`` stands for a variable of the instance (reasoning-gym's ``metadata.variables``), ``{q[i]}`` for the
i-th number written in digits in the question, counted from 0. ``demo.gold`` fills them in.
"""

PROGRAMS_00_49: dict[int, str] = {
    0: """
peel_time = {total_amount} / {peel_rate}
batches = {total_amount} / {batch_size}
cook_time = batches * {time_per_batch}
return peel_time + cook_time
""",
    1: """
other_toys = {building_blocks} + {stuffed_animals} + {stacking_rings}
return {total_toys} - other_toys
""",
    2: """
first_group = {total_students} * {percent_group1} / 100
remaining = {total_students} - first_group
other_groups = remaining * {percent_group23} // 100
return first_group + other_groups
""",
    3: """
penpals = {initial_penpals} - {lost_penpals}
pages = penpals * {letters_per_week} * {pages_per_letter}
minutes = pages * {minutes_per_page}
return minutes // 60
""",
    4: """
brownies = {num_jars} * {per_jar}
return brownies // {per_pan}
""",
    5: """
collected = {signatures1} + {signatures2}
return {goal} - collected
""",
    6: """
boys = {n_girls} * {multiplier}
return {n_girls} + boys
""",
    7: """
plants = {num_ledges} * {plants_per_ledge} + {plants_received}
given = {num_ledges} * {plants_to_give}
return plants - given
""",
    8: """
parts = {sugar_ratio} + {water_ratio}
part_size = {total_items} / parts
return {sugar_ratio} * part_size
""",
    9: """
money = {num_bills} * {bill_value}
first_cost = {num_items1} * {price1}
second_cost = {num_items2} * {price2}
return money - first_cost - second_cost
""",
    10: """
future_age = {age1} * {mult}
return future_age - {years}
""",
    11: """
first_food = {initial_amount} * {multiplier}
bought = {bought_amount} - {difference}
return {initial_amount} + first_food + {bought_amount} + bought
""",
    12: """
first_time = {time1} * {num1}
second_time = {time2} * {num2}
return first_time + second_time
""",
    13: """
first_time = {length1} / {speed1}
second_time = {length2} / {speed2}
return first_time - second_time
""",
    14: """
combined = {time1} + {time2}
return combined * {multiplier}
""",
    15: """
leggings = {price1} + {price2}
sneakers = {price3} / 2
headbands = {price4} - {discount}
return {price1} + leggings + sneakers + headbands
""",
    16: """
friends = {q[2]} / {mult1}
return friends * {mult2}
""",
    17: """
occupied = {total_capacity} * {initial_fraction}
empty = {total_capacity} - occupied
admitted = {daily_patients} * 7 * {period_weeks}
return empty - admitted
""",
    18: """
half = {score1} * {q[2]} / 100
second_score = half + {bonus}
return {score1} + second_score
""",
    19: """
second = {initial_kernels} * {multiplier_2}
third = {initial_kernels} * {multiplier_3}
final = third / 2
after = final / 4
return {initial_kernels} + second + third + final + after
""",
    20: """
placed = {capacity_per_tray} * {num_trays}
return {total_items} - placed
""",
    21: """
plants = {bed_length} / {plant_spacing}
needed = plants - {owned_plants}
return needed * {cost_per_plant}
""",
    22: """
brokerage = {price} * {brokerage_fee} / 100
transfer = {price} * {transfer_fee} / 100
total = {price} + brokerage + transfer
return total - {budget}
""",
    23: """
lost = {hourly_rate} * {hours}
return lost - {fee}
""",
    24: """
second_age = {relative_age} * {multiple}
return second_age - {orbit_period}
""",
    25: """
calories_left = {total_target} - {consumed}
servings = calories_left / {calories}
serving_size = {size} / {servings}
return servings * serving_size
""",
    26: """
first_balls = {total_balls} * {q[1]} / 100
return first_balls * {q[2]} / 100
""",
    27: """
first_places = {first_complexes} * {apartments_per_complex}
more = first_places * {percent_increase} / 100
apartments = first_places + first_places + more
visits = apartments * {collections_per_week}
return visits * {rate_per_apartment}
""",
    28: """
more = {base_price} * {percent_increase} / 100
price = {base_price} + more
amount = {usage_per_day} * 7
return price * amount + {extra_price}
""",
    29: """
puppies = {puppies1} + {puppies2}
spotted = {spotted1} + {spotted2}
return spotted * 100 / puppies
""",
    30: """
second_hobby = {hobby2_count} * 2
return {total_students} - {hobby1_count} - {hobby2_count} - second_hobby
""",
    31: """
brother = {first_person_slices} + {second_person_extra}
sister = brother + {third_person_extra}
return {first_person_slices} + brother + sister
""",
    33: """
fast = {base_rate} * {multiplier}
daily = {base_rate} + fast
return daily * 7
""",
    34: """
twins = {items_per_twin} * 2
hidden = {total_items} - twins
return hidden - {unfound_items}
""",
    36: """
first_items = {total_questions} * {easy_percent} / 100
other_items = {total_questions} - first_items
first_points = first_items * {easy_correct_percent} / 100
other_points = other_items / 2
return first_points + other_points
""",
    38: """
clothes = {skeins_per_item[0]} + {skeins_per_item[1]} + {skeins_per_item[2]}
pairs = {skeins_per_item[3]} + {skeins_per_item[4]}
return (clothes + pairs) * {count}
""",
    39: """
boys = {total_students} - {num_girls}
return boys - {absent_boys}
""",
    41: """
covered = {total_cost} * {fraction}
return {total_cost} - covered - {current_amount}
""",
    42: """
first_fee = {price} * {fee1_percent} / 100
second_fee = {price} * {fee2_percent} / 100
return {price} - first_fee - second_fee - {loan}
""",
    43: """
second_amount = {first_amount} - {difference}
return {first_amount} + second_amount
""",
    44: """
first = {quantities[0]} * {prices[0]}
second = {quantities[1]} * {prices[1]}
third = {quantities[2]} * {prices[2]}
return first + second + third
""",
    45: """
total = {remaining} + {used_items}
return total - {husband_package}
""",
    47: """
first_cost = {items1_count} * {item1_cost}
second_cost = {items2_count} * {item2_cost}
return first_cost + second_cost + {paper_cost}
""",
    48: """
first_cost = {n1} * {price1}
second_cost = {n2} * {price2}
return first_cost - second_cost
""",
}
