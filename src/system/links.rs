//! Devices, addresses, routes and neighbours by rtnetlink, and their changes as wake-ups.
