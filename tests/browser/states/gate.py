from canned import case
