"""Entry points, one thin file each: wiring of inflib into Ray, no math, no formats.

audit      all stages in order, from one recipe
prepare    1  preference data -> pairs/
train      2  pairs/ -> reward_model/
sketch     3  pairs/ + reward_model/ -> sketches/
score      4  sketches/ -> influence/
report     5  influence/ -> report/
demo       an audit of data that this project generates
session    what the entry points share: command line, Ray, stage records
"""
