"""
Plans: the difference between what is applied and what a feature repo says shall be.
"""

from tecton.plan.builder import desired_of, make_plan
from tecton.plan.differences import spell_duration
from tecton.plan.generations import stores_of
from tecton.plan.values import Action, Backfill, Change, Incremental, Plan

__all__ = [
    "Action",
    "Backfill",
    "Change",
    "Incremental",
    "Plan",
    "desired_of",
    "make_plan",
    "spell_duration",
    "stores_of",
]
