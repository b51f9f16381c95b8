//! The four worlds that the stories speak of.
//!
//! In the stories, the words of a list stand for each other: any farmer may have sowed any crop. So what tells the worlds
//! apart is only which words keep company, and that is what pre-training has to find out.

/// A world: where it takes place, who works there, with what, and how. Worlds share no word.
#[derive(Clone, Copy)]
pub struct World {
    /// The label of a sentence of this world.
    pub label: &'static str,
    /// "at the …"
    pub places: &'static [&'static str],
    /// "the …", "a …"
    pub workers: &'static [&'static str],
    /// Two kinds of things.
    pub kinds: [Kind; 2],
}

/// Things that are handled alike, so that any of these deeds goes with any of these things.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Singular nouns.
    pub things: &'static [&'static str],
    /// Past tenses that take a thing.
    pub deeds: &'static [&'static str],
}

/// All worlds.
pub const WORLDS: [World; 4] = [
    World {
        label: "farm",
        places: &[
            "barn", "meadow", "orchard", "pasture", "stable", "mill", "farmyard", "granary", "paddock", "hayloft",
            "dairy", "cottage",
        ],
        workers: &[
            "farmer",
            "shepherd",
            "milkmaid",
            "ploughman",
            "miller",
            "reaper",
            "herdsman",
            "gardener",
            "stableboy",
            "beekeeper",
            "drover",
            "farmhand",
        ],
        kinds: [
            Kind {
                things: &[
                    "wheat", "barley", "corn", "rye", "clover", "cabbage", "turnip", "pumpkin", "lettuce", "onion",
                    "carrot", "flax", "millet", "spinach", "maize",
                ],
                deeds: &["sowed", "harvested", "watered", "gathered", "weeded", "planted"],
            },
            Kind {
                things: &[
                    "cow", "horse", "goat", "pig", "lamb", "hen", "donkey", "goose", "ox", "calf", "mule", "rooster",
                    "pony", "ram", "turkey",
                ],
                deeds: &["fed", "herded", "penned", "tethered", "brushed", "stabled"],
            },
        ],
    },
    World {
        label: "sea",
        places: &[
            "harbour",
            "beach",
            "lighthouse",
            "pier",
            "bay",
            "quay",
            "shipyard",
            "island",
            "lagoon",
            "jetty",
            "wharf",
            "cove",
        ],
        workers: &[
            "sailor",
            "captain",
            "fisherman",
            "diver",
            "pilot",
            "boatswain",
            "whaler",
            "ferryman",
            "pirate",
            "admiral",
            "navigator",
            "helmsman",
        ],
        kinds: [
            Kind {
                things: &[
                    "anchor", "sail", "rope", "mast", "oar", "rudder", "net", "compass", "hammock", "tiller", "cable",
                    "pulley", "hawser", "winch", "buoy",
                ],
                deeds: &["hauled", "hoisted", "lowered", "lashed", "stowed", "greased"],
            },
            Kind {
                things: &[
                    "ship", "schooner", "raft", "ferry", "canoe", "trawler", "frigate", "sloop", "barge", "cutter",
                    "galley", "yacht", "dinghy", "brig", "steamer",
                ],
                deeds: &["steered", "launched", "boarded", "moored", "docked", "sighted"],
            },
        ],
    },
    World {
        label: "music",
        places: &[
            "theatre",
            "opera",
            "ballroom",
            "festival",
            "bandstand",
            "auditorium",
            "conservatory",
            "cabaret",
            "playhouse",
            "studio",
            "concert",
            "rehearsal",
        ],
        workers: &[
            "singer",
            "violinist",
            "drummer",
            "composer",
            "conductor",
            "pianist",
            "soprano",
            "tenor",
            "organist",
            "minstrel",
            "flautist",
            "choirmaster",
        ],
        kinds: [
            Kind {
                things: &[
                    "song", "waltz", "hymn", "ballad", "sonata", "symphony", "anthem", "lullaby", "concerto", "melody",
                    "serenade", "chorus", "minuet", "overture", "polka",
                ],
                deeds: &["sang", "composed", "rehearsed", "performed", "hummed", "conducted"],
            },
            Kind {
                things: &[
                    "violin", "flute", "piano", "drum", "harp", "trumpet", "cello", "guitar", "organ", "banjo",
                    "clarinet", "fiddle", "trombone", "oboe", "lute",
                ],
                deeds: &["played", "tuned", "practised", "mastered", "demonstrated", "repaired"],
            },
        ],
    },
    World {
        label: "medicine",
        places: &[
            "hospital",
            "clinic",
            "pharmacy",
            "ward",
            "infirmary",
            "surgery",
            "sickroom",
            "dispensary",
            "sanatorium",
            "laboratory",
            "hospice",
            "ambulance",
        ],
        workers: &[
            "doctor",
            "nurse",
            "surgeon",
            "midwife",
            "pharmacist",
            "dentist",
            "physician",
            "chemist",
            "medic",
            "orderly",
            "anaesthetist",
            "paramedic",
        ],
        kinds: [
            Kind {
                things: &[
                    "pill", "tonic", "syrup", "ointment", "lotion", "powder", "capsule", "tincture", "balm",
                    "antidote", "vaccine", "serum", "tablet", "elixir", "salve",
                ],
                deeds: &["prescribed", "dispensed", "administered", "diluted", "prepared", "tested"],
            },
            Kind {
                things: &[
                    "bandage",
                    "needle",
                    "splint",
                    "scalpel",
                    "syringe",
                    "stethoscope",
                    "thermometer",
                    "plaster",
                    "sling",
                    "crutch",
                    "stretcher",
                    "tourniquet",
                    "catheter",
                    "probe",
                    "gauze",
                ],
                deeds: &["sterilized", "disinfected", "unwrapped", "inspected", "scrubbed", "discarded"],
            },
        ],
    },
];
