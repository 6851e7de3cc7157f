//! 50,000 memories of a household and its work, in English and Chinese, the same at every run,
//! and the questions that must find their needles in them.

use magpie::clock::UnixMillis;
use magpie::voice::memory::{Importance, NewMemory, Source};

pub const MEMORIES: usize = 50_000;

/// When the questions are asked: 2026-01-02.
pub const NOW: UnixMillis = UnixMillis(1_767_322_999_678);

/// Memories that speak of 架构.
pub const ARCHITECTURE_COUNT: usize = 111;

const MINUTE_MS: i64 = 60_000;

/// Everything: needles at even distances among what a household says.
pub fn memories() -> Vec<NewMemory> {
    let distance = MEMORIES / NEEDLES.len();
    (0..MEMORIES)
        .map(|n| {
            let needle = (n % distance == distance / 2)
                .then(|| NEEDLES.get(n / distance))
                .flatten();
            let content = match needle {
                Some(needle) => needle.to_string(),
                None => filler(n),
            };
            // The last was told ten minutes ago, the first about ten months before it.
            let age = (MEMORIES - n) as i64 * 9 * MINUTE_MS + MINUTE_MS;
            NewMemory {
                importance: match n % 50 {
                    7 => Importance::High,
                    8 => Importance::Low,
                    _ => Importance::Normal,
                },
                tags: match n % 10 {
                    3 => vec![pick(TOPICS, n / 10).to_string()],
                    _ => Vec::new(),
                },
                ..NewMemory::plain(content, Source::Import, UnixMillis(NOW.0 - age))
            }
        })
        .collect()
}

fn filler(n: usize) -> String {
    // Multiplying by a prime scatters neighbours over the lists.
    let turn = n.wrapping_mul(7_919);
    if n % 450 == 225 {
        return format!(
            "{}和{}讨论了{}系统架构，第{}版",
            pick(PEOPLE_ZH, turn),
            pick(PEOPLE_ZH, turn / 7 + 1),
            pick(PROJECTS_ZH, turn / 3),
            n / 450
        );
    }
    let (who, what) = (turn, turn / 11);
    let (place, day, number) = (turn / 5, turn / 13, n % 997);
    match n % 8 {
        0 => format!(
            "{} put the {} in the {} on {}",
            pick(PEOPLE, who),
            pick(THINGS, what),
            pick(PLACES, place),
            pick(DAYS, day)
        ),
        1 => format!(
            "{}把{}放在{}的{}里",
            pick(PEOPLE_ZH, who),
            pick(THINGS_ZH, what),
            pick(PLACES_ZH, place),
            pick(BOXES_ZH, day)
        ),
        2 => format!(
            "{} asked to buy {} packs of {} before {}",
            pick(PEOPLE, who),
            number % 9 + 2,
            pick(GOODS, what),
            pick(DAYS, day)
        ),
        3 => format!(
            "{}{}要买{}包{}",
            pick(DAYS_ZH, day),
            pick(PEOPLE_ZH, who),
            number % 9 + 2,
            pick(GOODS_ZH, what)
        ),
        4 => format!(
            "Meeting with {} about the {} budget moved to {} at {}:{:02}",
            pick(PEOPLE, who),
            pick(TOPICS, what),
            pick(DAYS, day),
            number % 12 + 7,
            number % 60
        ),
        5 => format!(
            "{}下午{}点和{}开会讨论{}预算",
            pick(DAYS_ZH, day),
            number % 6 + 1,
            pick(PEOPLE_ZH, who),
            pick(PROJECTS_ZH, what)
        ),
        6 => format!(
            "The {} in the {} was repaired by {} for {} euros",
            pick(MACHINES, what),
            pick(PLACES, place),
            pick(PEOPLE, who),
            number + 20
        ),
        _ => format!(
            "{}修好了{}的{}，花了{}元",
            pick(PEOPLE_ZH, who),
            pick(PLACES_ZH, place),
            pick(MACHINES_ZH, what),
            number + 20
        ),
    }
}

fn pick<'a>(from: &[&'a str], n: usize) -> &'a str {
    from[n % from.len()]
}

const PEOPLE: &[&str] = &[
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "the neighbour",
    "grandmother",
];
const PEOPLE_ZH: &[&str] = &[
    "妈妈",
    "爸爸",
    "小明",
    "小红",
    "奶奶",
    "王老师",
    "李经理",
    "张工",
    "邻居",
    "姑姑",
    "陈医生",
];
const THINGS: &[&str] = &[
    "scissors",
    "umbrella",
    "car keys",
    "torch",
    "toolbox",
    "blanket",
    "camera",
    "charger",
    "ladder",
    "board game",
    "winter coat",
    "sewing kit",
    "drill",
];
const THINGS_ZH: &[&str] = &[
    "剪刀",
    "雨伞",
    "车钥匙",
    "手电筒",
    "工具箱",
    "毯子",
    "相机",
    "充电器",
    "梯子",
    "棋盘",
    "冬衣",
    "针线盒",
    "电钻",
];
const PLACES: &[&str] = &[
    "kitchen",
    "garage",
    "cellar",
    "hallway",
    "bedroom",
    "attic",
    "office",
    "shed",
    "bathroom",
    "balcony",
    "living room",
];
const PLACES_ZH: &[&str] = &[
    "厨房",
    "车库",
    "地下室",
    "走廊",
    "卧室",
    "阁楼",
    "办公室",
    "小屋",
    "浴室",
    "阳台",
    "客厅",
];
const BOXES_ZH: &[&str] = &["抽屉", "柜子", "纸箱", "篮子", "架子", "盒子", "袋子"];
const DAYS: &[&str] = &[
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const DAYS_ZH: &[&str] = &["周一", "周二", "周三", "周四", "周五", "周六", "周日"];
const GOODS: &[&str] = &[
    "flour",
    "rice",
    "coffee",
    "tea",
    "soap",
    "paper towels",
    "batteries",
    "pasta",
    "oats",
    "candles",
];
const GOODS_ZH: &[&str] = &[
    "面粉", "大米", "咖啡", "茶叶", "肥皂", "纸巾", "电池", "面条", "燕麦", "蜡烛",
];
const TOPICS: &[&str] = &[
    "travel",
    "marketing",
    "kitchen",
    "school",
    "garden",
    "insurance",
    "hiring",
    "heating",
    "music",
];
const PROJECTS_ZH: &[&str] = &[
    "旅行", "市场", "装修", "学校", "花园", "保险", "招聘", "供暖", "音乐",
];
const MACHINES: &[&str] = &[
    "dishwasher",
    "washing machine",
    "radio",
    "heater",
    "fridge",
    "printer",
    "lamp",
    "toaster",
    "fan",
];
const MACHINES_ZH: &[&str] = &[
    "洗碗机",
    "洗衣机",
    "收音机",
    "暖气",
    "冰箱",
    "打印机",
    "台灯",
    "面包机",
    "风扇",
];

/// Told once each.
pub const NEEDLES: &[&str] = &[
    "The spare key is under the blue flower pot",
    "备用钥匙在蓝色花盆下面",
    "The wifi password is correct-horse-battery",
    "WiFi密码是 magpie2026",
    "My passport is in the grey folder behind the encyclopedia",
    "护照放在书房保险柜第二层",
    "Grandpa Otto's birthday is on the 14th of March 1941",
    "外公的生日是一九四一年三月十四日",
    "The router's address is 192.168.178.1",
    "The boiler was last serviced by Kowalski & Sons in 2024",
    "Dr. Nguyễn is our pediatrician, phone +49 30 1234567",
    "The café Crème Brûlée closes at six",
    "Bicycle lock combination: 4711",
    "自行车锁密码是八八二三",
    "Order number of the sofa: AB-2024-7788",
    "The cat Muffin is allergic to salmon",
    "猫咪年糕对三文鱼过敏",
    "Zoë plays the violin at half past four",
    "The vet's name is Quackenbush",
    "Our landlord is called Mr. Fitzgerald-Okonkwo",
    "房东姓欧阳，电话一三八零零一三八零零零",
    "The fuse for the oven is number 12",
    "烤箱的保险丝是十二号",
    "C++ course starts in room B2.17",
    "The recycling goes out in even weeks",
    "可回收垃圾双周周四收",
    "Table for eight is booked at Trattoria Zucchini",
    "在老北京饺子馆订了八人桌",
    "The vaccination booklet lies with the tax papers from 2019",
    "疫苗本和二零一九年的税单放在一起",
    "The hedge may not be trimmed before October",
    "The chess club meets at the lighthouse",
    "象棋俱乐部在灯塔聚会",
    "Server rack U7 holds the backup drive",
    "项目代号是凤凰",
    "The project is codenamed Nightingale",
    "Aunt Wilhelmina's recipe wants cardamom",
    "姨妈的食谱要放豆蔻",
    "License plate of the van: B-MX 4077",
    "面包车的车牌是京A八八四零",
    "The thermostat's PIN is 0042",
    "The periscope toy belongs to Tobias",
    "乐高潜水艇是天天的",
    "Emergency contact: Professor Abercrombie",
    "紧急联系人是司马教授",
    "The honey comes from the beekeeper in Obertal",
    "蜂蜜是从山里的养蜂人那里买的",
    "The kayak is moored at pier 9",
    "皮划艇停在九号码头",
    "The telescope needs a new eyepiece of 25 mm",
    "望远镜需要二十五毫米目镜",
    "Rosalind prefers oolong",
    "Kubernetes 集群的架设由阿德负责",
    "The attic window must be closed when a thunderstorm comes",
    "The gramophone was a wedding present",
    "留声机是结婚礼物",
    "The piano tuner charges ninety",
    "钢琴调音师收九十",
    "OR gates are in the drawer labelled NOT",
    "The 3D printer filament is PETG",
    "Grandma hides the marzipan in the tureen",
    "暗号是芝麻开门",
];

/// How a case is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As words of a search.
    Search,
    /// As a question, which is reduced to its subject first.
    Ask,
}

#[derive(Clone, Copy, Debug)]
pub enum Wants {
    /// The best hit contains this.
    First(&'static str),
    /// One of the first ten contains this.
    Among(&'static str),
    /// The best ten contain this, and so many match in all.
    Each(&'static str, usize),
    Nothing,
}

use Wants::{Among, Each, First, Nothing};
use Way::{Ask, Search};

#[rustfmt::skip]
pub const CASES: &[(Way, &str, Wants)] = &[
    // questions, typed
    (Ask, "Where is the spare key?", First("blue flower pot")),
    (Ask, "What's the wifi password?", First("correct-horse")),
    (Ask, "Where did I put my passport?", First("encyclopedia")),
    (Ask, "When is Grandpa Otto's birthday?", First("14th of March")),
    (Ask, "Who is our pediatrician?", First("Nguyễn")),
    (Ask, "What is the vet's name?", First("Quackenbush")),
    (Ask, "Which fuse is for the oven?", First("number 12")),
    (Ask, "What is the cat allergic to?", First("Muffin")),
    (Ask, "who is our landlord", First("Fitzgerald")),
    (Ask, "where does the chess club meet", First("lighthouse")),
    (Ask, "what is the thermostat pin", First("0042")),
    (Ask, "when does the hedge get trimmed", First("October")),
    (Ask, "where is the kayak moored", First("pier 9")),
    (Ask, "do you know where the vaccination booklet is", First("tax papers")),
    (Ask, "what does aunt wilhelminas recipe want", Among("cardamom")),
    (Ask, "where are the spare keys", Among("blue flower pot")),
    (Ask, "who tunes the piano", First("ninety")),
    // questions in Chinese
    (Ask, "备用钥匙在哪里？", First("蓝色花盆")),
    (Ask, "我的护照放在哪儿", First("保险柜")),
    (Ask, "WiFi密码是多少", First("magpie2026")),
    (Ask, "外公的生日是什么时候", First("三月十四")),
    (Ask, "年糕对什么过敏", First("三文鱼")),
    (Ask, "房东姓什么", First("欧阳")),
    (Ask, "烤箱的保险丝是几号", First("十二号")),
    (Ask, "象棋俱乐部在哪里聚会", First("灯塔")),
    (Ask, "紧急联系人是谁", First("司马教授")),
    (Ask, "请问皮划艇停在哪里", First("九号码头")),
    (Ask, "项目代号是什么", First("凤凰")),
    (Ask, "你还记得面包车的车牌吗", First("八八四零")),
    // Chinese words of one, two, more characters
    (Search, "架构", Each("架构", ARCHITECTURE_COUNT)),
    (Search, "凤凰", First("项目代号")),
    (Search, "护照", First("书房")),
    (Search, "豆蔻", First("食谱")),
    (Search, "芝麻开门", First("暗号")),
    (Search, "蔻", First("豆蔻")),
    (Search, "鲸", Nothing),
    (Search, "构架", Nothing),
    (Search, "蜂蜜 养蜂人", First("山里")),
    (Search, "花盆里的钥匙", Among("备用钥匙")),
    (Search, "二十五毫米", First("目镜")),
    // both scripts in one query
    (Search, "WiFi密码", First("magpie2026")),
    (Search, "Kubernetes集群", First("阿德")),
    (Search, "kubernetes 阿德", First("架设")),
    (Search, "ＷｉＦｉ密码", First("magpie2026")),
    // names, accents, forms of words
    (Search, "Quackenbush", First("vet")),
    (Search, "quackenbush", First("vet")),
    (Search, "Nguyen", First("pediatrician")),
    (Search, "creme brulee", First("café")),
    (Search, "Zoe violin", First("half past four")),
    (Search, "Fitzgerald-Okonkwo", First("landlord")),
    (Search, "Okonkwo", First("landlord")),
    (Search, "thunderstorms", First("attic window")),
    (Search, "thermostats", First("0042")),
    (Search, "periscop", First("Tobias")),
    (Search, "Rosalind's tea", First("oolong")),
    // numbers and codes
    (Search, "192.168.178.1", First("router")),
    (Search, "4711", First("Bicycle lock")),
    (Search, "AB-2024-7788", First("sofa")),
    (Search, "+49 30 1234567", First("Nguyễn")),
    (Search, "B2.17", First("C++ course")),
    (Search, "U7", First("backup drive")),
    (Search, "0042", First("thermostat")),
    // what FTS5 or SQL would take for its own
    (Search, "OR NOT gates", First("OR gates")),
    (Search, "AND", Nothing),
    (Search, "NEAR(gramophone wedding, 2)", Among("wedding present")),
    (Search, "\"spare key\"", First("blue flower pot")),
    (Search, "spare \"key", First("blue flower pot")),
    (Search, "spare* key*", First("blue flower pot")),
    (Search, "-spare +key", First("blue flower pot")),
    (Search, "(spare OR) key)", Among("blue flower pot")),
    (Search, "content:marzipan", First("tureen")),
    (Search, "^marzipan {tureen}", First("Grandma hides")),
    (Search, "marzipan'; DROP TABLE memories; --", Among("tureen")),
    (Search, "C++", Among("C++ course")),
    (Search, "*", Nothing),
    (Search, "\"\"\"", Nothing),
    (Search, "%_%", Nothing),
    // emoji, blanks, nonsense
    (Search, "🔑 spare key", First("blue flower pot")),
    (Search, "🔑", Nothing),
    (Search, "  \t ", Nothing),
    (Search, "xylophonist", Nothing),
    (Ask, "where is it", Nothing),
    (Ask, "在哪里", Nothing),
];
