//! The words of the sample corpus.

/// Adjectives, feelings and happenings of one mood. The two moods share no word.
#[derive(Clone, Copy)]
pub struct Mood {
    /// "the bread was …"
    pub adjectives: &'static [&'static str],
    /// "Ada felt …"
    pub feelings: &'static [&'static str],
    /// "Ada …"
    pub reactions: &'static [&'static str],
    /// "worked …", "walked home …"
    pub adverbs: &'static [&'static str],
    /// A whole clause about the day.
    pub weathers: &'static [&'static str],
    /// "it was a day of …"
    pub fortunes: &'static [&'static str],
}

/// A walk of life: where it takes place, who works there, with what, and how. Topics share no word.
#[derive(Clone, Copy)]
pub struct Topic {
    /// The label of a sentence on this topic.
    pub label: &'static str,
    /// "at the …"
    pub places: &'static [&'static str],
    /// "a … from Ashford"
    pub workers: &'static [&'static str],
    /// Things that can be looked at, carried and talked about.
    pub things: &'static [&'static str],
    /// Past tenses that take a thing.
    pub deeds: &'static [&'static str],
    /// Animals that live there.
    pub animals: &'static [&'static str],
}

/// What a person is called.
#[derive(Clone, Copy)]
pub struct Person {
    /// The name.
    pub name: &'static str,
    /// "she", "he"
    pub subject: &'static str,
    /// "her", "his"
    pub possessive: &'static str,
}

/// Good and bad days.
pub const MOODS: [Mood; 2] = [
    Mood {
        adjectives: &[
            "splendid",
            "lovely",
            "excellent",
            "wonderful",
            "perfect",
            "beautiful",
            "good",
            "fine",
            "great",
            "pretty",
        ],
        feelings: &["glad", "happy", "proud", "cheerful", "grateful", "hopeful", "merry", "content", "joyful", "calm"],
        reactions: &["smiled", "laughed", "cheered", "sang", "danced", "grinned", "clapped", "whistled"],
        adverbs: &["gladly", "happily", "proudly", "cheerfully", "merrily", "eagerly"],
        weathers: &["the sun was shining", "the sky was clear", "the air was warm", "the wind was gentle"],
        fortunes: &["luck", "success", "comfort", "praise", "joy"],
    },
    Mood {
        adjectives: &["dreadful", "awful", "terrible", "shabby", "broken", "ugly", "poor", "bad", "useless", "ruined"],
        feelings: &["sad", "angry", "ashamed", "bitter", "worried", "lonely", "upset", "weary", "sorry", "afraid"],
        reactions: &["wept", "sighed", "frowned", "groaned", "cried", "trembled", "shouted", "sobbed"],
        adverbs: &["sadly", "angrily", "bitterly", "wearily", "gloomily", "nervously"],
        weathers: &["the rain was pouring", "the sky was dark", "the air was cold", "the wind was harsh"],
        fortunes: &["trouble", "failure", "misery", "blame", "grief"],
    },
];

/// Eight walks of life that share no place, thing or deed.
pub const TOPICS: [Topic; 8] = [
    Topic {
        label: "farm",
        places: &["farm", "barn", "orchard", "meadow"],
        workers: &["farmer", "shepherd", "milkmaid", "ploughman"],
        things: &["plough", "cart", "fence", "wheat", "hay", "milk", "wool", "apple", "seed", "saddle"],
        deeds: &["harvested", "gathered", "fed", "stacked", "sowed", "weighed"],
        animals: &["cow", "horse", "sheep", "goat", "hen"],
    },
    Topic {
        label: "sea",
        places: &["harbour", "ship", "beach", "lighthouse"],
        workers: &["sailor", "captain", "fisherman", "diver"],
        things: &["net", "anchor", "sail", "rope", "oar", "shell", "boat", "mast", "lantern", "raft"],
        deeds: &["hauled", "lowered", "raised", "tied", "steered", "loaded"],
        animals: &["gull", "seal", "crab", "whale", "dolphin"],
    },
    Topic {
        label: "food",
        places: &["kitchen", "bakery", "inn", "tavern"],
        workers: &["cook", "baker", "waiter", "brewer"],
        things: &["bread", "soup", "cake", "pie", "stew", "cheese", "butter", "sauce", "pudding", "roast"],
        deeds: &["baked", "tasted", "served", "stirred", "sliced", "cooked"],
        animals: &["cat", "mouse", "goose", "pig", "duck"],
    },
    Topic {
        label: "learning",
        places: &["school", "library", "college", "classroom"],
        workers: &["teacher", "pupil", "scholar", "librarian"],
        things: &["book", "lesson", "essay", "map", "poem", "answer", "pencil", "desk", "chapter", "riddle"],
        deeds: &["studied", "copied", "explained", "learned", "wrote", "read"],
        animals: &["owl", "parrot", "hamster", "turtle", "rabbit"],
    },
    Topic {
        label: "health",
        places: &["hospital", "clinic", "pharmacy", "ward"],
        workers: &["doctor", "nurse", "surgeon", "healer"],
        things: &["bandage", "medicine", "pill", "needle", "bed", "tonic", "remedy", "ointment", "syrup", "splint"],
        deeds: &["prescribed", "applied", "tested", "ordered", "swallowed", "prepared"],
        animals: &["leech", "frog", "rat", "monkey", "snake"],
    },
    Topic {
        label: "nature",
        places: &["forest", "valley", "camp", "mountain"],
        workers: &["hunter", "ranger", "woodcutter", "guide"],
        things: &["tree", "path", "tent", "axe", "bridge", "cabin", "log", "trail", "bow", "trap"],
        deeds: &["climbed", "crossed", "followed", "chopped", "built", "explored"],
        animals: &["wolf", "bear", "deer", "fox", "squirrel"],
    },
    Topic {
        label: "music",
        places: &["theatre", "stage", "opera", "ballroom"],
        workers: &["singer", "actor", "fiddler", "drummer"],
        things: &["song", "violin", "piano", "play", "costume", "flute", "drum", "melody", "mask", "curtain"],
        deeds: &["played", "performed", "practised", "tuned", "rehearsed", "composed"],
        animals: &["nightingale", "swan", "lark", "canary", "peacock"],
    },
    Topic {
        label: "trade",
        places: &["market", "shop", "bazaar", "warehouse"],
        workers: &["merchant", "tailor", "potter", "jeweller"],
        things: &["coat", "ring", "carpet", "vase", "hat", "purse", "necklace", "cloth", "basket", "clock"],
        deeds: &["sold", "bought", "traded", "wrapped", "polished", "delivered"],
        animals: &["donkey", "camel", "pigeon", "mule", "dog"],
    },
];

const fn she(name: &'static str) -> Person {
    Person { name, subject: "she", possessive: "her" }
}

const fn he(name: &'static str) -> Person {
    Person { name, subject: "he", possessive: "his" }
}

/// The people of the stories.
pub const PEOPLE: [Person; 24] = [
    she("Ada"),
    she("Clara"),
    she("Edith"),
    she("Flora"),
    she("Grace"),
    she("Hazel"),
    she("Julia"),
    she("Laura"),
    she("Mabel"),
    she("Nora"),
    she("Rosa"),
    she("Vera"),
    he("Albert"),
    he("Bruno"),
    he("Conrad"),
    he("David"),
    he("Felix"),
    he("George"),
    he("Henry"),
    he("Karl"),
    he("Martin"),
    he("Oscar"),
    he("Peter"),
    he("Walter"),
];

/// Where people come from.
pub const TOWNS: [&str; 8] =
    ["Ashford", "Brookfield", "Carlow", "Dunmore", "Fairhaven", "Greenhill", "Kingswood", "Northgate"];

/// When a story begins.
pub const TIMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Parts of the day.
pub const HOURS: [&str; 4] = ["morning", "afternoon", "evening", "night"];
