//! Stops of Chinese and Japanese, after which no space need follow.

/// Whether `c` is a stop that only Chinese and Japanese have.
pub(super) fn is_full_width_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '｡')
}

/// Whether `c` is a Chinese character or Japanese kana.
pub(super) fn is_character(c: char) -> bool {
    matches!(c, '々' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Whether the stop in `marks` is to be judged by [`stop_ends_sentence`]: it is of full width, or stands between
/// Chinese or Japanese characters.
pub(super) fn is_east_asian(before: &str, marks: &str, after: &str) -> bool {
    let is_text = |c: char| is_character(c) || is_opener(c);
    let is_between =
        before.trim_end_matches(is_closer).ends_with(is_character) && after.trim_start().starts_with(is_text);
    marks.contains(is_full_width_stop) || is_between
}

/// Whether a sentence that reads `before` and then `marks` is over, given what comes `after`.
pub(super) fn stop_ends_sentence(before: &str, marks: &str, after: &str) -> bool {
    let next = after.trim_start();
    let Some(first) = next.chars().next() else { return false };
    if matches!(first, '，' | '、' | '：' | '；' | ',' | ';' | ':' | '》' | '〉' | '】' | '〕') {
        return false;
    }
    if marks.ends_with(['）', ')', ']', '】']) && !before.trim_start().starts_with(['（', '(', '[', '【']) {
        // Only the remark in brackets is over.
        return false;
    }
    if marks.ends_with(is_quote) && (goes_on_after_quote(next) || names_speaker(next)) {
        return false;
    }
    let stops: Vec<char> =
        marks.chars().filter(|&c| c == '.' || c == '…' || is_full_width_stop(c) || c == '!' || c == '?').collect();
    match stops[..] {
        ['…'] => false,
        ['.'] => !is_enumerator(before.trim()),
        _ if stops.iter().all(|&stop| matches!(stop, '.' | '…')) => {
            // Someone who stutters says a word again.
            !before.trim_end().ends_with(first)
        }
        _ => true,
    }
}

fn is_opener(c: char) -> bool {
    matches!(c, '“' | '‘' | '「' | '『' | '（' | '《' | '【' | '〈' | '"')
}

fn is_closer(c: char) -> bool {
    is_quote(c) || matches!(c, '）' | '》' | '】' | '〉')
}

fn is_quote(c: char) -> bool {
    matches!(c, '”' | '’' | '」' | '』' | '"')
}

/// Whether the sentence around a quotation goes on by grammar: `「はい。」と言った`, `“好！”的一声`.
fn goes_on_after_quote(next: &str) -> bool {
    ["と", "って", "という", "など", "なんて", "の", "を", "に", "が", "は", "的", "之"]
        .iter()
        .any(|word| next.starts_with(word))
}

/// Whether a text begins with who said what stands before, as `她说。`, `小明笑着问道：`, `他大喊一声，` do, but not
/// `没人回答。`: a verb of speech stands near the beginning of the clause or at its end, and nothing denies it.
fn names_speaker(next: &str) -> bool {
    const SUBJECT_MAX: usize = 5;
    const CLAUSE_MAX: usize = 12;
    let end = next.find(|c: char| !is_character(c)).unwrap_or(next.len());
    let clause = &next[..end];
    // What is said next begins a sentence of its own.
    if next[end..].starts_with(['"', '“', '「']) {
        return false;
    }
    let length = clause.chars().count();
    clause.char_indices().enumerate().any(|(number, (at, c))| {
        let is_near = number <= SUBJECT_MAX || (number + 1 == length && length <= CLAUSE_MAX);
        is_near && is_verb_of_speech(clause, at, c) && !denies(&clause[..at])
    })
}

/// Whether the character `c`, at `at` in `clause`, is a verb of speech and no part of another word.
fn is_verb_of_speech(clause: &str, at: usize, c: char) -> bool {
    const OTHER_WORDS: &[&str] = &[
        "知道", "味道", "街道", "通道", "频道", "轨道", "隧道", "道路", "道理", "道歉", "疑问", "访问", "学问", "问题",
        "小说", "传说", "据说", "听说", "说明", "答应", "答案",
    ];
    let around = |word: &&str| clause[..at + c.len_utf8()].ends_with(*word) || clause[at..].starts_with(*word);
    let is_shout = c == '叫' && clause[..at].ends_with(['大', '尖', '惊']);
    (is_shout || matches!(c, '说' | '道' | '问' | '喊' | '答' | '嚷' | '叹' | '說' | '問'))
        && !OTHER_WORDS.iter().any(around)
}

/// Whether the verb after `before` does not happen: `没人|说`, but not `不耐烦地|说` and `忍不住|说`, where another word is
/// denied that tells how it happens.
fn denies(before: &str) -> bool {
    let manner_end = before.rfind(['地', '着', '著', '住', '禁', '得']).unwrap_or(0);
    before[manner_end..].contains(['没', '沒', '不', '无', '無', '未'])
}

/// A numeral or letter that heads a paragraph.
fn is_enumerator(sentence: &str) -> bool {
    !sentence.is_empty() && sentence.chars().all(|c| "一二三四五六七八九十".contains(c))
}

#[cfg(test)]
mod tests {
    use super::super::split;

    /// Each case is a paragraph with `|` where it is to be split, without space.
    fn check(cases: &[&str]) {
        for case in cases {
            let expected: Vec<&str> = case.split('|').collect();
            assert_eq!(split(&expected.concat()), expected, "for {case:?}");
        }
    }

    #[test]
    fn chinese() {
        check(&[
            "你好。|今天下雨吗？|“是。”|好",
            "今天天气很好。|我们去公园吧！",
            "你去哪儿？|我回家。",
            "太好了！！|真的吗？！|当然。",
            "春天来了；|花开了；|鸟叫了。",
            "我不知道……|他走了。",
            "我……我不知道。|别问了。",
            "他想了想……|“算了。”",
            "他说：“你好。”|然后他走了。",
            "他说：“我不去！”|大家都笑了。",
            "“你好！”她说。|他点点头。",
            "“你去吗？”小明问道：“我也去。”",
            "“走吧！”老王笑着说，“天黑了。”|他们走了。",
            "“真的吗？”|我不知道。",
            "“好吃吗？”|味道不错。",
            "‘好。’|他答应了。",
            "「你好。」他說。|我也說。",
            "『走！』|大家都走了。",
            "“好！”，他说。|她笑了。",
            "他听见“救命！”的喊声。|他跑了过去。",
            "（他笑了。）|我也笑了。",
            "他（真的吗？）走了。|我没走。",
            "他走了（真的）。|我没走。",
            "《你好吗？》是一本书。|我读过。",
            "我读《你好！》。|他不读。",
            "【注意！】请排队。|谢谢。",
            "价格是3.5元。|不贵。",
            "2008年8月8日，奥运会开幕。|北京。",
            "第1.2节很难。|第2节不难。",
            "服务好!|房间大!|下次还来.",
            "位置不错.|服务也好.|就是贵",
            "好吗?|好的!|走吧",
            "还可以...|下次再来",
            "还可以......|下次再来",
            "一.位置好。|二.价格低。",
            "1.位置好。|2.价格低。",
            "1、位置好；|2、价格低；|3、服务好。",
            "他用iPhone。|我用Android！|你呢？",
            "USB3.0很快。|OK！|Good。",
            "他说\"好。\"|我说\"不好。\"",
            "他走了。|\"真的?\"|\"真的。\"",
            "“是。”|“不是。”|“是！”",
            "没有标点的一句话",
            "。。。什么意思？|不知道。",
            "好~~！|真好。",
            "他问：“为什么？|为什么？”|没人回答。",
            "“有人吗？”|没人回答。|屋里很静。",
            "“谁干的？”|他不说话，低下了头。",
            "“谁干的？”|没有人说出他的名字。",
            "“他是谁？”|他叫小明。",
            "“怎么办？”|问题很难。|大家都在想办法。",
            "“你病了？”|我不知道该说什么。",
            "他喊道：“加油！”|我们跑得更快了。",
            "“站住！”他大喊一声，追了上去。|那人跑了。",
            "“救命啊！”她尖叫起来。|没人听见。",
            "“是吗？”他问我。|我点点头。",
            "“快走！”老师不耐烦地说。|我们走了。",
            "“真美啊！”她忍不住叹道。|风停了。",
            "“几点了？”那个小男孩奶声奶气地问。|“六点。”",
            "“我们明天再来吧。”说完，他走了。|雨停了。",
            "啊！|啊！|啊！",
            "她说，“对。”|“对。”",
            "“为什么？”老师问。|“因为我病了。”",
        ]);
        assert_eq!(split("早上好。 晚上好。\u{3000}你好。"), ["早上好。", "晚上好。", "你好。"]);
    }

    #[test]
    fn japanese() {
        check(&[
            "これは本です。|あれは何ですか？|ペンです。",
            "すごい！|本当に？|うん。",
            "「はい。」と彼は言った。|私も言った。",
            "「行くの？」って聞いた。|返事はない。",
            "「はい。」|「いいえ。」|沈黙。",
            "『走れ！』という本だ。|面白い。",
            "そうか……|もう帰ろう。",
            "わ……わからない。|ごめん。",
            "値段は3.5ドルです。|安い。",
            "雨だ｡|寒い｡",
            "「痛い！」の声がした。|誰だ。",
            "モーニング娘。、元気。|はい。",
            "時々、人々は笑う。|佐々木さんも。",
            "カタカナ！|ひらがな！|漢字！",
        ]);
    }
}
