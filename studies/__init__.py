"""What stands behind the tables: each study is one command, python -m studies.NAME.

seeds             seeds 0-4 of 1(b) or 2(b), ours and the plain model -> out/ex_2b_seeds.json
choose            a setting of 1(b) tried on validation digits -> out/ex_1b_choice.json
textbook          from the plain model to ours, one step at a time -> out/ex_1b_textbook.json
time_to_quality   -ELBO against seconds, ours and the usual loop -> out/ex_1b_time.json
ablations         from the plain model of 2(b) to ours; settings tried -> out/ex_2b_ablations.json
small_sources     why curves of p = .01 fail -> out/ex_2c_small.json
map_speed         the simulator against the plain sum over stars -> out/ex_2_map_speed.json
publish           copies what `out/` holds over the shipped files; see `make publish`
"""
