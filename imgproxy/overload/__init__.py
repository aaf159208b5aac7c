"""What is admitted when there is more to do than can be done: places, costs, rates, and the pressure on the machine."""
