//! The report and the model card that every fine-tuning leaves.

mod common;

use common::World;

/// What each task learns from, by its name.
fn finetunings(world: &World) -> Vec<(&'static str, String)> {
    let numbers: String = (0..20).map(|row| format!("the {} cat\t{}.5\n", ["red", "blue"][row % 2], row % 2)).collect();
    world.write("numbers.tsv", format!("text\tlabel\n{numbers}"));
    let several: String = (0..20).map(|row| format!("the red cat\t{}\n", ["red,cat", "red"][row % 2])).collect();
    world.write("several.tsv", format!("text\tlabel\n{several}"));
    world.write("words.conll", "the\tO\nred\tB-colour\ncat\tO\n\na\tO\nblue\tB-colour\ndog\tO\n\n".repeat(4));
    let paragraph = |at: usize| {
        format!(
            r#"{{"context": "the red cat sleeps", "qas": [{{"id": "q{at}", "question": "the cat",
            "answers": [{{"text": "red", "answer_start": 4}}]}}]}}"#
        )
    };
    let paragraphs: Vec<String> = (0..6).map(paragraph).collect();
    let questions =
        format!(r#"{{"version": "1.1", "data": [{{"title": "t", "paragraphs": [{}]}}]}}"#, paragraphs.join(","));
    world.write("questions.json", questions);
    let finetune = |task: &'static str, data: &str| {
        let flags = "--config config.json --tokenizer vocab.txt --batch-size 4 --epochs 2 --max-seq-length 16 --max-query-length 4";
        (task, format!("finetune --task {task} --train {data} --dev {data} --output {task} {flags}"))
    };
    vec![
        finetune("classification", "train.tsv"),
        finetune("regression", "numbers.tsv"),
        finetune("multi-label", "several.tsv"),
        finetune("tokens", "words.conll"),
        finetune("qa", "questions.json"),
    ]
}

#[test]
fn every_task_leaves_a_report_and_a_card() {
    let world = World::new();
    for (task, command) in finetunings(&world) {
        let ran = world.run(&command).ok();
        assert!(ran.stderr.contains("report.html"), "{}", ran.stderr);
        let text = |name: &str| String::from_utf8(world.read(&format!("{task}/{name}"))).unwrap();
        let (report, card) = (text("report.html"), text("README.md"));
        for part in ["<h1>", "<figcaption>Loss</figcaption>", "<h2>Metrics</h2>", "best step", "cloze predict"] {
            assert!(report.contains(part), "{task}: {part}\n{report}");
        }
        assert_eq!(report.contains("<figcaption>Reliability"), task != "regression", "{task}");
        for part in ["library_name: transformers", "## Results", "| `loss` |", "cloze predict --model MODEL"] {
            assert!(card.contains(part), "{task}: {part}\n{card}");
        }
        let here = world.path("").display().to_string();
        assert!(!card.contains(&here), "a path that nobody has given: {card}");
        // Again from the files, to the letter.
        std::fs::remove_file(world.path(&format!("{task}/report.html"))).unwrap();
        // A report that was killed has left this.
        let half = format!("{task}/report.html.cloze-0123456789abcdef.tmp");
        world.write(&half, "half");
        let ran = world.run(&format!("report {task}")).ok();
        assert_eq!(ran.stdout, format!("{task}/report.html\n"));
        assert!(report == text("report.html"), "{task}");
        assert!(!world.path(&half).exists(), "{task}");
    }
}

#[test]
fn a_series_of_seeds_has_a_report_of_each_and_of_all() {
    let world = World::new();
    let ran = world.finetune("model", "--seeds 1,7").ok();
    assert_eq!(ran.stderr.matches("20 examples to train on").count(), 1, "it is said once\n{}", ran.stderr);
    let text = |name: &str| String::from_utf8(world.read(name)).unwrap();
    assert!(text("model/seed-7/report.html").contains("<dd>7</dd>"), "the seed is among the settings");
    assert!(text("model/seed-7/README.md").contains("| seed | 7 |"));
    let all = text("model/report.html");
    for part in ["2 seeds: accuracy", "href=\"seed-7/report.html\"", "standard deviation", "have learnt nothing"] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    std::fs::remove_file(world.path("model/report.html")).unwrap();
    let answer = world.run("report model --json").ok().answer();
    assert_eq!(answer["report"], "model/report.html");
    assert!(text("model/report.html") == all);
}

#[test]
fn a_lost_evaluation_is_no_run_without_one() {
    let world = World::new();
    let rows: String = (0..120).map(|at| format!("the {} cat {at}\t{}\n", ["red", "blue"][at % 2], at % 2)).collect();
    world.write("train.tsv", format!("text\tlabel\n{rows}"));
    world.run(&format!("{} --output model", common::FINETUNE.replace("--dev dev.tsv", ""))).ok();
    world.run("report model").ok();
    std::fs::remove_file(world.path("model/evaluation.json")).unwrap();
    world.run("report model").fails(1, &["model", "evaluation.json", "lost"]);
}

#[test]
fn what_somebody_else_wrote_stays() {
    let world = World::new();
    std::fs::create_dir(world.path("model")).unwrap();
    world.write("model/README.md", "# Mine\n");
    world.write("model/report.html", "mine");
    let ran = world.finetune("model", "").ok();
    assert!(ran.stderr.contains("README.md") && ran.stderr.contains("no report was written"), "{}", ran.stderr);
    world.finetune("model", "--seed 2 --overwrite").ok();
    assert_eq!((world.read("model/README.md"), world.read("model/report.html")), (b"# Mine\n".into(), b"mine".into()));
}

#[test]
fn a_new_training_takes_the_old_report_away() {
    let world = World::new();
    world.finetune("model", "").ok();
    assert!(world.path("model/report.html").is_file());
    world.pretrain("model", "--overwrite").ok();
    let page = String::from_utf8(world.read("model/report.html")).unwrap();
    assert!(page.contains("<h1>Pre-training") && !page.contains("Classification"), "{page}");
    assert!(!world.path("model/README.md").exists());
    world.run("report nothing").fails(1, &["nothing is not the --output"]);
}
