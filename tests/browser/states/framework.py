"""The stand-in itself: where it must behave as LuCI does, or a case that passes says nothing."""

from canned import case
