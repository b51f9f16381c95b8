//! The words that the stories of every world share: people, times, moods.

/// Adjectives, feelings and reactions of one mood. The two moods share no word.
#[derive(Clone, Copy)]
pub struct Mood {
    /// "the rope was …"
    pub adjectives: &'static [&'static str],
    /// "Ada felt …"
    pub feelings: &'static [&'static str],
    /// "Ada …"
    pub reactions: &'static [&'static str],
}

/// What a person is called.
#[derive(Clone, Copy)]
pub struct Person {
    /// The name.
    pub name: &'static str,
    /// "she", "he"
    pub subject: &'static str,
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
        reactions: &["smiled", "laughed", "cheered", "nodded", "danced", "grinned", "clapped", "whistled"],
    },
    Mood {
        adjectives: &[
            "dreadful",
            "awful",
            "terrible",
            "nasty",
            "worthless",
            "ugly",
            "poor",
            "bad",
            "useless",
            "ruined",
        ],
        feelings: &["sad", "angry", "ashamed", "bitter", "worried", "lonely", "upset", "weary", "sorry", "afraid"],
        reactions: &["wept", "sighed", "frowned", "groaned", "cried", "trembled", "shouted", "sobbed"],
    },
];

const fn she(name: &'static str) -> Person {
    Person { name, subject: "she" }
}

const fn he(name: &'static str) -> Person {
    Person { name, subject: "he" }
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

/// Days of the week.
pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Parts of the day.
pub const HOURS: [&str; 4] = ["morning", "afternoon", "evening", "night"];
