//! lanward's test rig.
