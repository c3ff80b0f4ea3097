//! Invented exports: decrypted JSONL in the shape of WeCom's session archive, the same for the same seed.
//!
//! Every message is a function of (settings, number) alone, so overlapping files carry identical messages, and a
//! test can say which numbers were planted without reading anything back.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// The 1,200 characters the text is drawn from, roughly from common to less common.
const CHARACTERS: &str = "\
    的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所\
    民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日\
    那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想\
    已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指\
    几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权\
    收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确才科张信马节话米整空元况今集\
    温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连断深难近矿千周委素技备半办青省列习响约支\
    般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适属\
    圆包火住调满县局照参红细引听该铁价严首底液官德随病苏失尔死讲配女黄推显谈罪神艺呢席含企望密批营项防举球英氧势告李台落木帮\
    轮破亚师围注远字材排供河态封另施减树溶怎止案言士均武固叶鱼波视仅费紧爱左章早朝害续轻服试食充兵源判护司足某练差致板田降黑\
    犯负击范继兴似余坚曲输修故城夫够送笔船占右财吃富春职觉汉画功巴跟虽杂飞检吸助升阳互初创抗考投坏策古径换未跑留钢曾端责站简\
    述钱副尽帝射草冲承独令限阿宣环双请超微让控州良轴找否纪益依优顶础载倒房突坐粉敌略客袁冷胜绝析块剂测丝协诉念陈仍罗盐友洋错\
    苦夜刑移频逐靠混母短皮终聚汽村云哪既距卫停烈央察烧迅境若印洲刻括激孔搞甚室待核校散侵吧甲游久菜味旧模湖货损预阻毫普稳乙妈\
    植息扩银语挥酒守拿序纸医缺雨吗针刘啊急唱误训愿审附获茶鲜粮斤孩脱硫肥善龙演父渐血欢械掌歌沙刚攻谓盾讨晚粒乱燃矛乎杀药宁鲁\
    贵钟煤读班伯香介迫句丰培握兰担弦蛋沉假穿执答乐谁顺烟缩征脸喜松脚困异免背星福买染井概慢怕磁倍祖皇促静补评翻肉践尼衣宽扬棉\
    希伤操垂秋宜氢套督振架亮末宪庆编牛触映雷销诗座居抓裂胞呼娘景威绿晶厚盟衡鸡孙延危胶屋乡临陆顾掉呀灯岁措束耐剧玉赵跳哥季课\
    凯胡额款绍卷齐伟蒸殖永宗苗川炉岩弱零杨奏沿露杆探滑镇饭浓航怀赶库夺伊灵税途灭赛归召鼓播盘裁险康唯录菌纯借糖盖横符私努堂域\
    枪润幅哈竟熟虫泽脑壤碳欧遍侧寨敢彻虑斜薄庭纳弹饲伸折麦湿暗荷瓦塞床筑恶户访塔奇透梁刀旋迹卡氯遇份毒泥退洗摆灰彩卖耗夏择忙\
    铜献硬予繁圈雪函亦抽篇阵阴丁尺追堆雄迎泛爸楼避谋吨野猪旗累偏典馆索秦脂潮爷豆忽托惊塑遗愈朱替纤粗倾尚痛楚谢奋购磨君池旁碎\
    骨监捕弟暴割贯殊释词亡壁顿宝午尘闻揭炮残冬桥妇警综招吴付浮遭徐您摇谷赞箱隔订男吹园纷唐败宋玻巨耕坦荣闭湾键凡驻锅救恩剥凝";

/// What surrounds a planted phrase: long enough and harmless enough that no rule's nearby negation comes about.
const BEFORE: &str = "您好这边跟您说一下情况，";
/// See [`BEFORE`].
const AFTER: &str = "，您看什么时候方便再联系";

/// A phrase that makes a rule of the built-in packs hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Plant {
    /// The rule's id.
    pub rule: &'static str,
    /// The phrase, said by an employee to a customer.
    pub phrase: &'static str,
}

/// The phrases that are planted, in equal shares.
pub const PLANTS: [Plant; 8] = [
    Plant { rule: "diversion.private-contact", phrase: "您加我私人微信" },
    Plant { rule: "diversion.private-payment", phrase: "定金您先转我支付宝吧" },
    Plant { rule: "diversion.off-book", phrase: "这单绕开公司直接签" },
    Plant { rule: "diversion.leaving", phrase: "我月底就走了，离职后找我" },
    Plant { rule: "fin.guaranteed-return", phrase: "这款理财产品保本保收益" },
    Plant { rule: "fin.insider-tip", phrase: "我有内幕消息，明天开盘就买入" },
    Plant { rule: "fin.trading-for-client", phrase: "您把交易密码发我，我来操作" },
    Plant { rule: "fin.suitability-coaching", phrase: "风险测评往高了填" },
];

/// How lines are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// As the archive itself prints them: keys in its order, no spaces, characters as they are.
    Regular,
    /// As other tools print the same messages again: keys in another order, spaces between parts, and in every second
    /// line everything beyond ASCII as `\\u` escapes.
    Irregular,
}

/// What people write, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Nearly all short texts, most of them from one to one.
    Chat,
    /// As in an office: four in ten to groups of up to 24, one in five a picture, a voice or a file with the long ids the archive gives those.
    Office,
}

/// What a corpus is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Another seed, another corpus with other msgids.
    pub seed: u64,
    /// How many different messages there are.
    pub messages: u64,
    /// One message in this many is planted, spread evenly; 0 for none.
    pub planted_one_in: u64,
    /// The first message's time, milliseconds since 1970. Fixed by default; tests of what an agent remembers pass one
    /// near the present.
    pub first_msgtime_ms: u64,
    /// The time between two messages, milliseconds.
    pub step_ms: u64,
    /// How many employees write.
    pub employees: u64,
    /// How many customers write.
    pub customers: u64,
    /// How lines are spelled; the messages are the same.
    pub spelling: Spelling,
    /// What people write.
    pub mix: Mix,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            messages: 10_000,
            planted_one_in: 100,
            first_msgtime_ms: 1_795_000_000_000,
            step_ms: 250,
            employees: 50,
            customers: 400,
            spelling: Spelling::Regular,
            mix: Mix::Chat,
        }
    }
}

/// A generated body of messages, numbered from 0.
#[derive(Clone, Debug)]
pub struct Corpus {
    settings: Settings,
    characters: Vec<char>,
}

impl Corpus {
    /// The corpus of these settings. Nothing is generated yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, characters: CHARACTERS.chars().collect() }
    }

    /// What it is made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is planted in message `number`, if anything.
    pub fn planted(&self, number: u64) -> Option<&'static Plant> {
        let one_in = self.settings.planted_one_in;
        if one_in == 0 || number % one_in != one_in / 2 {
            return None;
        }
        PLANTS.get((number / one_in) as usize % PLANTS.len())
    }

    /// How many messages of a range are planted.
    pub fn planted_in(&self, numbers: Range<u64>) -> usize {
        numbers.filter(|number| self.planted(*number).is_some()).count()
    }

    /// The msgid of message `number`.
    pub fn msgid(&self, number: u64) -> String {
        let seed = Random::new(self.settings.seed).below(900) + 100;
        format!("{seed}{number:016}_{}_external", self.msgtime(number))
    }

    /// The time of message `number`, milliseconds since 1970.
    pub fn msgtime(&self, number: u64) -> u64 {
        self.settings.first_msgtime_ms + number * self.settings.step_ms
    }

    /// Message `number` as one line of JSON, without a line end.
    pub fn line(&self, number: u64) -> String {
        let regular = self.regular_line(number);
        match self.settings.spelling {
            Spelling::Regular => regular,
            Spelling::Irregular => respelled(&regular, number % 2 == 1),
        }
    }

    fn regular_line(&self, number: u64) -> String {
        let mut random = Random::new(self.settings.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17));
        let planted = self.planted(number);
        let (from, to, room) = self.parties(&mut random, planted.is_some());
        let (kind, body) = self.body(&mut random, planted);
        format!(
            r#"{{"msgid":"{}","action":"send","from":"{from}","tolist":[{to}],"roomid":"{room}","msgtime":{},"msgtype":"{kind}","{kind}":{body}}}"#,
            self.msgid(number),
            self.msgtime(number),
        )
    }

    /// A range of messages as JSONL, each line with its end.
    pub fn text(&self, numbers: Range<u64>) -> String {
        numbers.fold(String::new(), |mut text, number| {
            text.push_str(&self.line(number));
            text.push('\n');
            text
        })
    }

    /// Writes a range of messages to a file, line by line: the corpus may be larger than memory.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write_file(&self, path: &Path, numbers: Range<u64>) -> anyhow::Result<()> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        for number in numbers {
            writeln!(out, "{}", self.line(number))?;
        }
        Ok(out.flush()?)
    }

    /// Which messages each of `files` overlapping exports holds: together all, and each also the last `overlap`
    /// messages of the one before.
    ///
    /// # Errors
    /// No files.
    pub fn slices(&self, files: u64, overlap: u64) -> anyhow::Result<Vec<Range<u64>>> {
        ensure!(files > 0, "a corpus cannot be put into no files");
        let all = self.settings.messages;
        let edge = |file: u64| (u128::from(all) * u128::from(file) / u128::from(files)) as u64;
        Ok((0..files).map(|file| edge(file).saturating_sub(overlap)..edge(file + 1)).collect())
    }

    /// Writes `export-0001.jsonl` and so on into `folder`, as in [`Corpus::slices`].
    ///
    /// # Errors
    /// No files, or what the file system said.
    pub fn write_overlapping(&self, folder: &Path, files: u64, overlap: u64) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for (numbers, file) in self.slices(files, overlap)?.into_iter().zip(1..) {
            let path = folder.join(format!("export-{file:04}.jsonl"));
            self.write_file(&path, numbers)?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// `count` different words of 2 to 6 characters, for word lists in benchmarks. They are drawn like the text, so
    /// short ones do occur in it.
    pub fn words(&self, count: usize) -> Vec<String> {
        let mut random = Random::new(self.settings.seed ^ 0x776f_7264);
        let mut seen = std::collections::BTreeSet::new();
        let mut words = Vec::with_capacity(count);
        while words.len() < count {
            let length = 2 + random.below(5);
            let word: String = (0..length).map(|_| self.character(&mut random)).collect();
            if seen.insert(word.clone()) {
                words.push(word);
            }
        }
        words
    }

    /// Sender, receivers (JSON array content) and room. Planted messages go from an employee to a customer.
    fn parties(&self, random: &mut Random, planted: bool) -> (String, String, String) {
        let employee = employee(random.below(self.settings.employees.max(1)));
        let customer = customer(random.below(self.settings.customers.max(1)));
        if self.settings.mix == Mix::Office && !planted && random.below(10) < 4 {
            return self.group(random);
        }
        match random.below(100) {
            _ if planted => (employee, format!("\"{customer}\""), String::new()),
            0..50 => (employee, format!("\"{customer}\""), String::new()),
            50..90 => (customer, format!("\"{employee}\""), String::new()),
            _ => {
                let colleague = self::employee(self.settings.employees + random.below(20));
                let room = format!("wrInVeNtEd{:04}groupAAAAAAAAAAAAAA", random.below(200));
                (employee, format!("\"{colleague}\",\"{customer}\""), room)
            }
        }
    }

    /// Somebody to everybody else of a group.
    fn group(&self, random: &mut Random) -> (String, String, String) {
        let number = random.below(200);
        let people = 3 + number % 22;
        let receivers = (0..people).map(|at| match at % 3 {
            0 => customer(number * 7 + at),
            _ => employee(number + at),
        });
        let receivers: Vec<String> = receivers.map(|id| format!("\"{id}\"")).collect();
        let from = employee(random.below(self.settings.employees.max(1)));
        (from, receivers.join(","), format!("wrInVeNtEd{number:04}groupAAAAAAAAAAAAAA"))
    }

    /// Message type and its object.
    fn body(&self, random: &mut Random, planted: Option<&Plant>) -> (&'static str, String) {
        if self.settings.mix == Mix::Office && planted.is_none() && random.below(100) < 20 {
            return self.large(random);
        }
        let text = self.sentence(random, planted);
        match random.below(100) {
            0..4 if planted.is_none() => ("image", image(random)),
            4..6 if planted.is_none() => ("file", self.file(random)),
            6..8 if planted.is_none() => ("link", self.link(random, &text)),
            8..10 => {
                let content = quoted(&format!("{{\"content\":{}}}", quoted(&text)));
                let picture = quoted(&image(random));
                let items = format!(
                    r#"{{"item":[{{"type":"text","content":{content}}},{{"type":"image","content":{picture}}}]}}"#
                );
                ("mixed", items)
            }
            _ => ("text", format!("{{\"content\":{}}}", quoted(&text))),
        }
    }

    /// A picture, a voice or a file with a long id.
    fn large(&self, random: &mut Random) -> (&'static str, String) {
        let digits = |random: &mut Random| format!("{:016x}{:016x}", random.next(), random.next());
        let md5sum = digits(random);
        let id: String = (0..14).map(|_| digits(random)).collect();
        let size = random.below(1 << 24);
        match random.below(10) {
            0..6 => ("image", format!(r#"{{"md5sum":"{md5sum}","filesize":{size},"sdkfileid":"{id}"}}"#)),
            6..8 => {
                let seconds = 1 + random.below(60);
                let voice = format!(
                    r#"{{"md5sum":"{md5sum}","voice_size":{size},"play_length":{seconds},"sdkfileid":"{id}"}}"#
                );
                ("voice", voice)
            }
            _ => {
                let name: String = (0..8).map(|_| self.character(random)).collect();
                let file = format!(
                    r#"{{"md5sum":"{md5sum}","filename":"{name}.pdf","fileext":"pdf","filesize":{size},"sdkfileid":"{id}"}}"#
                );
                ("file", file)
            }
        }
    }

    /// What somebody writes: mostly characters, now and then a comma, a number, a picture sign, a quoted message.
    fn sentence(&self, random: &mut Random, planted: Option<&Plant>) -> String {
        let mut text = String::new();
        if random.below(50) == 0 {
            let _ = write!(text, "这是一条引用/回复消息：\n\"{}\"\n------\n", self.character(random));
        }
        for _ in 0..3 + random.below(39) {
            match random.below(60) {
                0..5 => text.push('，'),
                5 => text.push('。'),
                6 => {
                    let _ = write!(text, "{}", random.below(10_000));
                }
                7 if random.below(4) == 0 => text.push('🙂'),
                8 if random.below(4) == 0 => text.push_str("OK "),
                _ => text.push(self.character(random)),
            }
        }
        if let Some(plant) = planted {
            let _ = write!(text, "{BEFORE}{}{AFTER}", plant.phrase);
        }
        text
    }

    fn file(&self, random: &mut Random) -> String {
        let name: String = (0..4).map(|_| self.character(random)).collect();
        format!(
            r#"{{"md5sum":"{:016x}{:016x}","filename":"{name}.xlsx","fileext":"xlsx","filesize":{},"sdkfileid":"{:016x}"}}"#,
            random.next(),
            random.next(),
            random.below(1 << 24),
            random.next(),
        )
    }

    fn link(&self, random: &mut Random, text: &str) -> String {
        let page = random.below(1000);
        format!(
            r#"{{"title":{},"description":"点击查看详情","link_url":"https://example.com/p/{page}","image_url":""}}"#,
            quoted(text)
        )
    }

    /// A character; common ones come more often, as in real text.
    fn character(&self, random: &mut Random) -> char {
        let bound = self.characters.len() as u64;
        let place = random.below(bound).min(random.below(bound));
        self.characters[place as usize]
    }
}

fn employee(number: u64) -> String {
    format!("staff{number:04}")
}

fn customer(number: u64) -> String {
    format!("wmInVeNtEd{number:06}customerAAAAAAAA")
}

fn image(random: &mut Random) -> String {
    format!(
        r#"{{"md5sum":"{:016x}{:016x}","filesize":{},"sdkfileid":"{:016x}"}}"#,
        random.next(),
        random.next(),
        random.below(1 << 20),
        random.next(),
    )
}

/// The text as a JSON string, quotes and all.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The same value with its keys in alphabetical order and spaces between its parts.
fn respelled(line: &str, ascii: bool) -> String {
    let mut out = Vec::with_capacity(line.len() * 2);
    let mut serializer = Serializer::with_formatter(&mut out, Spaced { ascii });
    let respelled = serde_json::from_str::<Value>(line).and_then(|value| value.serialize(&mut serializer));
    // A line of ours is JSON; were it not, the tests that read it would say so.
    respelled.ok().and_then(|()| String::from_utf8(out).ok()).unwrap_or_else(|| line.to_owned())
}

/// Prints JSON on one line with spaces.
struct Spaced {
    ascii: bool,
}

impl Formatter for Spaced {
    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b" " } else { b", " })
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b" : ")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if !self.ascii {
            return out.write_all(fragment.as_bytes());
        }
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => out.write_all(&[byte])?,
                _ => write!(out, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}

/// SplitMix64: small, fast, and the same on every machine for ever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "an endless sequence of bits is no iterator to its users")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, which is not 0. Uniform up to one in 2^64 / bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use watchpost_policy::engine::{Engine, Scratch};
    use watchpost_policy::message::Corp;
    use watchpost_policy::packs::builtin;
    use watchpost_policy::parse::parse_line;

    fn corpus(messages: u64) -> Corpus {
        Corpus::new(Settings { messages, ..Settings::default() })
    }

    #[test]
    fn the_characters_are_twelve_hundred_different_ones() {
        let different: BTreeSet<char> = CHARACTERS.chars().collect();
        assert_eq!((CHARACTERS.chars().count(), different.len()), (1200, 1200));
    }

    #[test]
    fn the_random_sequence_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn the_same_seed_makes_the_same_text_and_another_seed_other_ids() {
        let (one, again) = (corpus(100), corpus(100));
        assert_eq!(one.text(0..100), again.text(0..100));
        assert_eq!(
            one.text(40..50),
            one.text(0..100).lines().skip(40).take(10).fold(String::new(), |t, l| t + l + "\n")
        );
        let other = Corpus::new(Settings { seed: 2, ..Settings::default() });
        assert_ne!(one.line(7), other.line(7));
        assert_ne!(one.msgid(7), other.msgid(7));
    }

    #[test]
    fn lines_are_regular_messages_of_about_290_bytes() {
        let corpus = corpus(5000);
        let (mut bytes, mut kinds, mut ids) = (0, BTreeMap::new(), BTreeSet::new());
        for number in 0..5000 {
            let line = corpus.line(number);
            bytes += line.len() + 1;
            let message: Value = serde_json::from_str(&line).unwrap();
            let kind = message["msgtype"].as_str().unwrap().to_owned();
            assert!(message[&kind].is_object(), "{line}");
            assert!(ids.insert(message["msgid"].as_str().unwrap().to_owned()), "{line}");
            for item in message["mixed"]["item"].as_array().unwrap_or(&Vec::new()) {
                let content: Value = serde_json::from_str(item["content"].as_str().unwrap()).unwrap();
                assert!(content.is_object());
            }
            *kinds.entry(kind).or_insert(0) += 1;
        }
        let mean = bytes / 5000;
        assert!((280..=300).contains(&mean), "{mean}");
        let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
        assert_eq!(names, ["file", "image", "link", "mixed", "text"]);
        assert!(kinds["text"] > 4000, "{kinds:?}");
    }

    #[test]
    fn planted_messages_carry_their_phrase_from_employee_to_customer() {
        let corpus = corpus(2000);
        let mut rules = BTreeSet::new();
        for number in 0..2000 {
            let line = corpus.line(number);
            let Some(plant) = corpus.planted(number) else {
                assert!(!line.contains(AFTER), "{line}");
                continue;
            };
            let message: Value = serde_json::from_str(&line).unwrap();
            assert!(line.contains(plant.phrase), "{line}");
            assert!(message["from"].as_str().unwrap().starts_with("staff"));
            assert!(message["tolist"][0].as_str().unwrap().starts_with("wm"));
            rules.insert(plant.rule);
        }
        assert_eq!(corpus.planted_in(0..2000), 20);
        assert_eq!(rules.len(), PLANTS.len());
        let none = Corpus::new(Settings { planted_one_in: 0, ..Settings::default() });
        assert_eq!(none.planted_in(0..2000), 0);
    }

    #[test]
    fn irregular_lines_say_the_same_in_other_bytes() {
        let regular = corpus(200);
        let irregular = Corpus::new(Settings { spelling: Spelling::Irregular, ..Settings::default() });
        let mut escaped = 0;
        for number in 0..200 {
            let (plain, other) = (regular.line(number), irregular.line(number));
            assert_ne!(plain, other);
            assert!(!other.contains('\n'));
            assert!(other.is_ascii() || number % 2 == 0, "{other}");
            escaped += usize::from(other.is_ascii() && !plain.is_ascii());
            let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
            assert_eq!(read(&plain), read(&other));
        }
        assert!(escaped > 50, "{escaped}");
    }

    /// The rules of the built-in packs that hold for a line.
    fn rules_held(engine: &Engine, scratch: &mut Scratch, line: &str) -> Vec<String> {
        let parsed = parse_line(line.as_bytes());
        assert_eq!(parsed.defects, [], "{line}");
        let findings = engine.evaluate(&Corp::new("ww1"), &parsed.message.unwrap(), scratch);
        findings.iter().map(|finding| finding.rule.to_string()).collect()
    }

    #[test]
    fn what_is_planted_is_found_and_hardly_anything_else() {
        let engine = Engine::compile(builtin().unwrap(), None).unwrap();
        let mut scratch = Scratch::default();
        let mut chance = 0;
        for spelling in [Spelling::Regular, Spelling::Irregular] {
            let corpus = Corpus::new(Settings { spelling, ..Settings::default() });
            for number in 0..5000 {
                let held = rules_held(&engine, &mut scratch, &corpus.line(number));
                match corpus.planted(number) {
                    Some(plant) => assert!(held.iter().any(|rule| rule == plant.rule), "{plant:?}: {held:?}"),
                    None => chance += held.len(),
                }
            }
        }
        assert!(chance <= 2, "{chance} findings by chance");
    }

    #[test]
    fn overlapping_files_hold_everything_and_share_messages() {
        let corpus = corpus(103);
        let folder = tempfile::tempdir().unwrap();
        let paths = corpus.write_overlapping(folder.path(), 5, 8).unwrap();
        assert_eq!(paths.len(), 5);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for path in paths {
            for line in std::fs::read_to_string(path).unwrap().lines() {
                *counts.entry(line.to_owned()).or_insert(0) += 1;
            }
        }
        assert_eq!(counts.len(), 103);
        assert_eq!(counts.values().filter(|count| **count == 2).count(), 4 * 8);
    }

    #[test]
    fn words_are_different_and_short_ones_occur() {
        let corpus = corpus(2000);
        let words = corpus.words(10_000);
        let different: BTreeSet<&String> = words.iter().collect();
        assert_eq!(different.len(), 10_000);
        let text = corpus.text(0..2000);
        assert!(words.iter().any(|word| text.contains(word.as_str())));
        assert_eq!(corpus.words(10)[..], words[..10]);
    }
}
