"""What is charted and measured: item ids, the publisher's names for them, and for results how they are distributed."""

from typing import NamedTuple


class Item(NamedTuple):
    """An item of chartevents or outputevents."""

    id: int
    label: str
    unit: str = ""
    words: tuple[str, ...] = ()
    """What is charted in place of a number, for the values `lowest`, `lowest` + 1, ..."""
    lowest: int = 1
    scored: bool = False
    """A number stands beside the words."""
    around: float = 0.0
    """Numbers of an item that nobody asks for lie around this."""


class Lab(NamedTuple):
    """A laboratory item: `normal` times the exponential of a sum of normal variables."""

    id: int
    label: str
    category: str
    unit: str
    panel: str
    normal: float
    spread: float
    """Standard deviation between patients."""
    effect: float
    """Per unit of severity."""
    noise: float
    kidneys: float = 0.0
    """Per unit of kidney failure."""
    digits: int = 0
    reference: tuple[float, float] | None = None
    """Outside is flagged abnormal."""
    most: float = 1e6
    minus: float = 0.0
    """Taken off in the end, where values may be negative."""


CHARTED = (
    Item(220045, "Heart Rate", "bpm"),
    Item(220050, "Arterial Blood Pressure systolic", "mmHg"),
    Item(220051, "Arterial Blood Pressure diastolic", "mmHg"),
    Item(220052, "Arterial Blood Pressure mean", "mmHg"),
    Item(225309, "ART BP Systolic", "mmHg"),
    Item(225310, "ART BP Diastolic", "mmHg"),
    Item(225312, "ART BP Mean", "mmHg"),
    Item(220179, "Non Invasive Blood Pressure systolic", "mmHg"),
    Item(220180, "Non Invasive Blood Pressure diastolic", "mmHg"),
    Item(220181, "Non Invasive Blood Pressure mean", "mmHg"),
    Item(220210, "Respiratory Rate", "insp/min"),
    Item(224690, "Respiratory Rate (Total)", "insp/min"),
    Item(224688, "Respiratory Rate (Set)", "insp/min"),
    Item(223761, "Temperature Fahrenheit", "°F"),
    Item(223762, "Temperature Celsius", "°C"),
    Item(220277, "O2 saturation pulseoxymetry", "%"),
    Item(220227, "Arterial O2 Saturation", "%"),
    Item(223835, "Inspired O2 Fraction"),
    Item(220739, "GCS - Eye Opening", "", ("None", "To Pain", "To Speech", "Spontaneously"), scored=True),
    Item(
        *(223900, "GCS - Verbal Response", ""),
        ("No Response-ETT", "No Response", "Incomprehensible sounds", "Inappropriate Words", "Confused", "Oriented"),
        scored=True,
        lowest=0,  # of the intubated, who cannot speak; the number beside it is 1
    ),
    Item(
        *(223901, "GCS - Motor Response", ""),
        ("No response", "Abnormal extension", "Abnormal Flexion", "Flex-withdraws", "Localizes Pain", "Obeys Commands"),
        scored=True,
    ),
    Item(223951, "Capillary Refill R", "", ("Normal <3 Seconds", "Abnormal >3 Seconds")),
    Item(224308, "Capillary Refill L", "", ("Normal <3 Seconds", "Abnormal >3 Seconds")),
    Item(225664, "Glucose finger stick (range 70-100)", "mg/dL"),
    Item(220621, "Glucose (serum)", "mg/dL"),
    Item(226537, "Glucose (whole blood)", "mg/dL"),
    Item(226512, "Admission Weight (Kg)", "kg"),
    Item(226531, "Admission Weight (lbs.)"),
    Item(224639, "Daily Weight", "kg"),
    Item(226707, "Height", "Inch"),
    Item(226730, "Height (cm)", "cm"),
)
OTHERS = (
    Item(227969, "Safety Measures", "", ("Bed in Low Position", "Adequate Lighting", "Call Bell")),
    Item(220048, "Heart Rhythm", "", ("SR (Sinus Rhythm)", "ST (Sinus Tachycardia)", "AF (Atrial Fibrillation)", "SB (Sinus Bradycardia)")),
    Item(224650, "Ectopy Type 1", "", ("None", "PVCs", "PACs")),
    Item(227958, "Less Restrictive Measures", "", ("Repositioned", "Diversional Activities")),
    Item(223792, "Pain Management", "", ("Opioid", "Rest")),
    Item(224080, "Head of Bed", "", ("HOB > 30 degrees", "HOB < 30 degrees", "Flat")),
    Item(224082, "Turn", "", ("Side to Side", "Self", "Back")),
    Item(224086, "Activity Tolerance", "", ("Good", "Fair", "Poor")),
    Item(224093, "Position", "", ("Supine", "Left Side", "Right Side", "Chair")),
    Item(224642, "Temperature Site", "", ("Oral", "Axillary", "Blood")),
    Item(223781, "Pain Present", "", ("Yes", "No")),
    Item(226732, "O2 Delivery Device(s)", "", ("None", "Nasal cannula", "Endotracheal tube")),
    Item(223987, "RLL Lung Sounds", "", ("Clear", "Diminished", "Crackles")),
    Item(224027, "Skin Temperature", "", ("Warm", "Cool")),
    Item(227944, "Side Rails", "", ("2 Rails Up", "3 Rails Up")),
    Item(224641, "Alarms On", "", (), around=1),
    Item(224168, "Parameters Checked", "", (), around=1),
    Item(224161, "Resp Alarm - High", "insp/min", (), around=35),
    Item(220047, "Heart Rate Alarm - Low", "bpm", (), around=50),
    Item(223770, "O2 Saturation Pulseoxymetry Alarm - Low", "%", (), around=90),
)
"""A few of the more than a thousand items of the real table that no variable is made of."""
OUTPUTS = (
    Item(226559, "Foley", "ml"),
    Item(226560, "Void", "ml"),
    Item(226561, "Condom Cath", "ml"),
    Item(226584, "Ileoconduit", "ml"),
    Item(226563, "Suprapubic", "ml"),
    Item(226564, "R Nephrostomy", "ml"),
    Item(226565, "L Nephrostomy", "ml"),
    Item(226567, "Straight Cath", "ml"),
    Item(226557, "R Ureteral Stent", "ml"),
    Item(226558, "L Ureteral Stent", "ml"),
    Item(227488, "GU Irrigant Volume In", "ml"),
    Item(227489, "GU Irrigant/Urine Volume Out", "ml"),
    Item(227510, "TF Residual", "ml"),
)

OTHER_FLUID = "other fluid"
PANELS = {
    "chemistry": (1.5, 1.0),
    "count": (1.0, 0.8),
    "differential": (-1.5, 0.6),
    "coagulation": (-0.8, 0.8),
    "liver": (-1.2, 0.8),
    "gas": (-0.8, 1.2),
    "lactate": (-1.2, 1.5),
    "heart": (-2.0, 0.6),
    "rare": (-3.2, 0.4),
    OTHER_FLUID: (-4.5, 0.0),
}
"""Log odds that blood is drawn for it, and how they rise with severity: what is measured tells how sick a patient is."""
SPECIMEN_TYPE = 52033
GASES = ("ART.", "VEN.", "CENTRAL VENOUS.")
LABS = (
    Lab(50931, "Glucose", "Chemistry", "mg/dL", "chemistry", 125, 0.22, 0.06, 0.15, 0, 0, (70, 100)),
    Lab(50912, "Creatinine", "Chemistry", "mg/dL", "chemistry", 1.0, 0.35, 0.12, 0.06, 0.9, 1, (0.5, 1.2)),
    Lab(51006, "Urea Nitrogen", "Chemistry", "mg/dL", "chemistry", 20, 0.4, 0.15, 0.08, 0.7, 0, (6, 20)),
    Lab(50983, "Sodium", "Chemistry", "mEq/L", "chemistry", 138, 0.03, 0.002, 0.012, 0, 0, (133, 145)),
    Lab(50971, "Potassium", "Chemistry", "mEq/L", "chemistry", 4.1, 0.08, 0.01, 0.07, 0.15, 1, (3.3, 5.1)),
    Lab(50902, "Chloride", "Chemistry", "mEq/L", "chemistry", 102, 0.05, 0.003, 0.02, 0, 0, (96, 108)),
    Lab(50882, "Bicarbonate", "Chemistry", "mEq/L", "chemistry", 25, 0.1, -0.06, 0.06, -0.12, 0, (22, 32)),
    Lab(50868, "Anion Gap", "Chemistry", "mEq/L", "chemistry", 14, 0.15, 0.06, 0.1, 0.15, 0, (8, 20)),
    Lab(50893, "Calcium, Total", "Chemistry", "mg/dL", "chemistry", 8.5, 0.07, -0.01, 0.03, 0, 1, (8.4, 10.3)),
    Lab(50960, "Magnesium", "Chemistry", "mg/dL", "chemistry", 2.0, 0.12, 0, 0.1, 0.1, 1, (1.6, 2.6)),
    Lab(50970, "Phosphate", "Chemistry", "mg/dL", "chemistry", 3.5, 0.25, 0.05, 0.12, 0.3, 1, (2.7, 4.5)),
    Lab(51301, "White Blood Cells", "Hematology", "K/uL", "count", 10, 0.4, 0.14, 0.1, 0, 1, (4, 10)),
    Lab(51222, "Hemoglobin", "Hematology", "g/dL", "count", 10.4, 0.18, -0.03, 0.05, 0, 1, (13.7, 17.5)),
    Lab(51221, "Hematocrit", "Hematology", "%", "count", 31, 0.18, -0.03, 0.05, 0, 1, (40, 51)),
    Lab(51265, "Platelet Count", "Hematology", "K/uL", "count", 195, 0.45, -0.12, 0.08, 0, 0, (150, 400)),
    Lab(51248, "MCH", "Hematology", "pg", "count", 30, 0.06, 0, 0.01, 0, 1, (26, 32)),
    Lab(51249, "MCHC", "Hematology", "g/dL", "count", 33, 0.03, 0, 0.01, 0, 1, (32, 37)),
    Lab(51250, "MCV", "Hematology", "fL", "count", 91, 0.06, 0, 0.01, 0, 0, (82, 98)),
    Lab(51256, "Neutrophils", "Hematology", "%", "differential", 76, 0.1, 0.03, 0.04, 0, 1, (34, 71), 98),
    Lab(51244, "Lymphocytes", "Hematology", "%", "differential", 12, 0.4, -0.15, 0.1, 0, 1, (19, 53), 98),
    Lab(51144, "Bands", "Hematology", "%", "differential", 2, 0.6, 0.3, 0.3, 0, 0, (0, 5), 60),
    Lab(51237, "INR(PT)", "Hematology", "", "coagulation", 1.25, 0.2, 0.08, 0.06, 0, 1, (0.9, 1.1)),
    Lab(51274, "PT", "Hematology", "sec", "coagulation", 13.8, 0.2, 0.08, 0.06, 0, 1, (9.4, 12.5)),
    Lab(51275, "PTT", "Hematology", "sec", "coagulation", 33, 0.25, 0.06, 0.1, 0, 1, (25, 36.5)),
    Lab(51214, "Fibrinogen, Functional", "Hematology", "mg/dL", "coagulation", 300, 0.4, -0.05, 0.1, 0, 0, (180, 400)),
    Lab(50885, "Bilirubin, Total", "Chemistry", "mg/dL", "liver", 0.7, 0.75, 0.25, 0.1, 0, 1, (0, 1.5)),
    Lab(50883, "Bilirubin, Direct", "Chemistry", "mg/dL", "liver", 0.4, 0.75, 0.25, 0.1, 0, 1, (0, 0.3)),
    Lab(50862, "Albumin", "Chemistry", "g/dL", "liver", 3.3, 0.17, -0.05, 0.05, 0, 1, (3.5, 5.2)),
    Lab(50861, "Alanine Aminotransferase (ALT)", "Chemistry", "IU/L", "liver", 30, 0.9, 0.3, 0.2, 0, 0, (0, 40)),
    Lab(50878, "Asparate Aminotransferase (AST)", "Chemistry", "IU/L", "liver", 38, 0.9, 0.35, 0.2, 0, 0, (0, 40)),
    Lab(50863, "Alkaline Phosphatase", "Chemistry", "IU/L", "liver", 90, 0.5, 0.08, 0.1, 0, 0, (40, 130)),
    Lab(SPECIMEN_TYPE, "Specimen Type", "Blood Gas", "", "gas", 1, 0, 0, 0),
    Lab(50820, "pH", "Blood Gas", "units", "gas", 7.39, 0.004, -0.005, 0.004, -0.004, 2, (7.35, 7.45), 7.7),
    Lab(50821, "pO2", "Blood Gas", "mm Hg", "gas", 112, 0.2, -0.06, 0.3, 0, 0, (85, 105)),
    Lab(50818, "pCO2", "Blood Gas", "mm Hg", "gas", 40, 0.12, 0.02, 0.12, 0, 0, (35, 45)),
    Lab(50816, "Oxygen", "Blood Gas", "%", "gas", 48, 0.15, 0.12, 0.1, 0, 0, None, 100),
    Lab(50817, "Oxygen Saturation", "Blood Gas", "%", "gas", 95, 0.01, -0.01, 0.02, 0, 0, None, 99),
    Lab(50809, "Glucose", "Blood Gas", "mg/dL", "gas", 128, 0.22, 0.06, 0.15, 0, 0, (70, 105)),
    Lab(50808, "Free Calcium", "Blood Gas", "mmol/L", "gas", 1.12, 0.05, -0.01, 0.03, 0, 2, (1.12, 1.32)),
    Lab(50802, "Base Excess", "Blood Gas", "mEq/L", "gas", 30, 0.08, -0.06, 0.05, -0.12, 0, None, 50, 31),
    Lab(50804, "Calculated Total CO2", "Blood Gas", "mEq/L", "gas", 25, 0.1, -0.06, 0.06, -0.12, 0, (21, 30)),
    Lab(50813, "Lactate", "Blood Gas", "mmol/L", "lactate", 1.6, 0.25, 0.32, 0.15, 0.1, 1, (0.5, 2.0)),
    Lab(51003, "Troponin T", "Chemistry", "ng/mL", "heart", 0.06, 1.1, 0.3, 0.2, 0.3, 2, (0, 0.01)),
    Lab(50910, "Creatine Kinase (CK)", "Chemistry", "IU/L", "heart", 130, 1.0, 0.2, 0.2, 0, 0, (47, 322)),
    Lab(50911, "Creatine Kinase, MB Isoenzyme", "Chemistry", "ng/mL", "heart", 5, 0.7, 0.2, 0.2, 0, 0, (0, 10)),
    Lab(50907, "Cholesterol, Total", "Chemistry", "mg/dL", "rare", 160, 0.25, -0.03, 0.05, 0, 0, (0, 199)),
    Lab(50889, "C-Reactive Protein", "Chemistry", "mg/L", "rare", 50, 0.9, 0.4, 0.1, 0, 1, (0, 5)),
    Lab(50831, "pH", "Blood Gas", "units", OTHER_FLUID, 7.5, 0.05, 0, 0.01, 0, 1),
)
WHITE_CELLS = {51300: ("WBC Count", "Hematology"), 51755: ("White Blood Cells", "Chemistry"), 51756: ("White Blood Cells", "Chemistry")}
"""Other ids under which white blood cells are reported."""
